"""What the join of sessions remembers, on a disk of its own: users, how far it has read, what it has still to say."""
