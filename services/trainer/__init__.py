"""The trainer: learns from `samples` as they come, and publishes its weights behind the gate (docs/freshness.md)."""
