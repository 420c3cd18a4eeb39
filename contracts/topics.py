"""Where messages travel."""

from __future__ import annotations


class Topic:
    """Names of the topics; every one is keyed by user."""

    TRIGGERS = "triggers"
    INTERACTIONS = "interactions"
    CANDIDATES = "candidates"
    SAMPLES = "samples"
    DEAD_LETTERS = "dead-letters"
