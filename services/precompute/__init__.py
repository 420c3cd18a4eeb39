"""Turns triggers into stored candidate sets, beside the request.  Loads no weights: it asks the engine."""
