"""Hosts the model: one prompt in, the best items out, concurrent users decoded together.  Stores nothing."""
