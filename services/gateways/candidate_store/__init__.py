"""The newest candidate set of each user: a cache, never the system of record."""
