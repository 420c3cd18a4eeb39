"""Logs of what users did with items: read from disk, made up by a synthetic marketplace, cut into timelines.

numpy and pyarrow only.  Never trains, never talks to a network.
"""
