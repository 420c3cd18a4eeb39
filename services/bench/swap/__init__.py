"""How long a new model takes from its publication to its first answer, and what requests notice of it."""
