"""Keeps every user's recent behaviour: reads `interactions`, writes the history store.  Serves no user."""
