"""The popular lists that retrieval serves where nothing was computed."""
