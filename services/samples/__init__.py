"""What users do becomes session samples: reads `interactions`, `triggers` and `candidates`, publishes to `samples`."""
