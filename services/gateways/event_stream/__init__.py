"""Events between processes: at least once, no promise of order."""
