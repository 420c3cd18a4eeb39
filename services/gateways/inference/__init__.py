"""The inference engine: a prompt in, the best items out."""
