"""Which form of pair scoring a network gets: the fastest that its device and dtype allow.

`stages` asks once, when it is built.  A form is imported where it is used: numba serves CPUs, Triton comes with
torch's CUDA builds.
"""

from __future__ import annotations

import torch

from model.decoding.blocks import Blocks
from model.decoding.decodable import Decodable
from model.decoding.merge_own_keys import MergeInTorch, MergeOwnKeys
from model.decoding.pairs import PairScorer
from model.decoding.pairs_in_torch import PairsInTorch
from model.decoding.trie_on_device import TrieLevel


def scorer_for(network: Decodable, trie: tuple[TrieLevel, ...], blocks: Blocks) -> PairScorer:
    """The scorer of this network's pairs."""
    if network.device.type == "cpu" and network.dtype != torch.float64:
        from model.decoding.pairs_on_cpu import PairsOnCpu

        return PairsOnCpu(network, trie, blocks)
    return PairsInTorch(network, trie, blocks, _merge_for(network, blocks))


def _merge_for(network: Decodable, blocks: Blocks) -> MergeOwnKeys:
    if network.device.type == "cuda" and network.dtype != torch.float64:
        from model.decoding.merge_on_cuda import MergeOnCuda

        return MergeOnCuda(network.rank_head)
    return MergeInTorch(network.rank_head, blocks)
