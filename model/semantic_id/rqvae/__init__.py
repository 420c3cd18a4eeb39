"""The RQ-VAE: features go through an encoder, and what comes out is quantised level by level (FORGE, arXiv 2509.20904).

`frozen` is what serves and what is stored, in numpy; the rest trains it, in torch.  Import `frozen` alone where torch
must stay away.
"""
