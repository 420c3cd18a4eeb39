"""What one user takes at the paper's widths, measured on a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, re
from pathlib import Path
import numpy as np, torch
from model.decoding.request import DecodeRequest
from model.decoding.two_stage import TwoStageDecoder
from model.network.config import RankGRConfig
from model.network.network import network_from
from model.semantic_id.catalog import Catalog

SIZE = 2048
config = RankGRConfig.create(
    hidden_size=128, layers=3, heads=4, kv_heads=2, intermediate_size=384, vocab_size=8 + 2 * SIZE, max_position=2304,
    levels=[{"size": SIZE, "token_offset": 8}, {"size": SIZE, "token_offset": 8 + SIZE}], special_tokens={"pad": 0},
    prompt={"max_tokens": 2048, "block_tokens": 16},
    rank_head={"mode": "mha", "heads": 2, "dim": 32, "mlp_hidden": 64, "mlp_input": "attn_query", "keys": "all"},
    decode={"beams": (500, 1400), "lambdas": (1400, 1400)},
)
codes = np.argwhere(np.random.default_rng(0).random((SIZE, SIZE)) < 0.8).astype(np.int32)
catalog = Catalog(np.arange(len(codes)), codes, np.ones(len(codes), np.float32), (SIZE, SIZE))
# mu < 0: the bound on scores does not hold, so that every beam is extended and nothing is saved.
decoder = TwoStageDecoder(network_from(config, 0), catalog)
chance = np.random.default_rng(1)

def status(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def decode(tokens, **widths):
    return decoder([DecodeRequest(chance.integers(8, 8 + 2 * SIZE, tokens), iap_mix=-1e-6, **widths)])[0]

decode(16, beams=(1, 1), lambdas=(1, 1))
# The catalogue was dearer than any user: what it left goes back, and the peak starts anew here (Linux, glibc).
ctypes.CDLL("libc.so.6").malloc_trim(0)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
answer = decode(2048)
assert answer.counts["extended2"] == 500 and len(answer.item_id) == 1400
print((status("VmHWM") - before) // 1024)
"""


@pytest.mark.heavy
def test_a_user_at_full_widths_takes_at_most_200_mb() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    grown_mb = int(done.stdout)
    assert 5 < grown_mb <= 200
