"""Each user's recent behaviour."""
