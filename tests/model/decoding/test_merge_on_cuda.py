"""The CUDA kernel under Triton's interpreter against the plain form: arithmetic and masks, not speed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import itertools, os, torch
from model.decoding.blocks import Blocks
from model.decoding.code_table import CodeQueries, CodeTable
from model.decoding.merge_on_cuda import MergeOnCuda
from model.decoding.merge_own_keys import MergeInTorch
from tests.model.decoding.small_worlds import World

torch.manual_seed(0)
checked = 0
with torch.inference_mode():
    for mode, mlp_input, keys, beams in itertools.product(("mha", "literal"), ("attn", "attn_query"), (1, 2), (1, 9)):
        world = World(sizes=(4, 5, 20), mode=mode, mlp_input=mlp_input, dtype=torch.float32)
        network = world.network()
        head = network.rank_head
        table = CodeTable(head, CodeQueries.of(network, keys + 1), head.project(torch.randn(9, 16)))
        used = torch.rand(world.sizes[keys]) < 0.8
        used[0] = True
        rows = table.rows_for(used)
        own = head.project(torch.randn(beams, keys, 16))
        row, at = (torch.rand(beams, len(rows.code)) < 0.7).nonzero(as_tuple=True)
        found = MergeOnCuda(head)(rows, row, at, own)
        expected = MergeInTorch(head, Blocks())(rows, row, at, own)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        checked += len(row)
print("pairs", checked)
"""


@pytest.mark.vllm
def test_the_kernel_equals_the_plain_form() -> None:
    # Another process: the interpreter has to be chosen before Triton is imported.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 300
