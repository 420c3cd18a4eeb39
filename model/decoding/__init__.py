"""Two-stage decoding (arXiv 2602.08575): per level the codes IAP likes best, re-scored by RSP, cut to a beam.

`reference` says what it means, `two_stage` computes the same fast; both know a network and a trie.
"""
