"""The arithmetic of generative retrieval: no socket, no environment variable.

data -> semantic_id -> prompt | network -> bundle -> training | decoding -> evaluation: each stands on those before it.
"""
