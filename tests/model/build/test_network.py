"""Where code embeddings begin: at the quantiser's code vectors, or drawn where those tell nothing apart."""

from __future__ import annotations

import numpy as np
import torch

from model.build.network import seed_code_embeddings
from model.network.network import CODE_RMS
from tests.model.training.toys import Toy


def test_codes_begin_at_their_vectors_and_ranks_at_what_was_drawn_all_at_one_scale() -> None:
    network = Toy(sizes=(4, 5)).network()
    vectors_VZ = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    before = network.code_embeddings(2).detach().clone()
    seed_code_embeddings(network, [vectors_VZ, np.zeros((5, 6), np.float32)])
    first, ranks = network.code_embeddings(1).detach(), network.code_embeddings(2).detach()
    centred_VZ = torch.from_numpy(vectors_VZ - vectors_VZ.mean(0))
    assert torch.cosine_similarity(first[:, :6].flatten(), centred_VZ.flatten(), dim=0) > 0.9
    assert torch.allclose(torch.cosine_similarity(ranks, before, dim=1), torch.ones(5))
    assert 0.8 * CODE_RMS < ranks.square().mean().sqrt() < 1.5 * CODE_RMS
