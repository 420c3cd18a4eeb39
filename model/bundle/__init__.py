"""The bundle: one directory with all that training hands to serving; written whole, read verified."""
