"""Which triggers are known: one request is one computation, and only a user's newest is computed."""
