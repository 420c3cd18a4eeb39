"""Golden requests: a fixed set of prompts that every model of a catalogue must answer sensibly before it serves.

The gate asks them of a candidate.  Whether the answers are any good is not asked here; see `no_fall`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from contracts.behaviors import Level
from contracts.errors import BundleRefused, RankGRError
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from model.prompt import PromptContext, PromptFormat, prompt_from_history
from model.semantic_id.catalog import Catalog

PROMPTS = 12


@dataclass(frozen=True, slots=True)
class GoldenTimes:
    """Milliseconds per prompt, one at a time, after one that does not count."""

    median_ms: float
    worst_ms: float


def golden_prompts(prompt_format: PromptFormat, catalog: Catalog, count: int = PROMPTS) -> list[DecodeRequest]:
    """Histories of random items, from none to the longest, always the same ones for one catalogue."""
    longest = prompt_format.max_tokens // prompt_format.item_tokens + 1
    prompts = []
    for number, length in enumerate(np.linspace(0, longest, count).round().astype(int).tolist()):
        items = np.random.default_rng(number).choice(catalog.item_id, length if len(catalog) else 0).tolist()
        clicks = [int(Level.CLICK)] * len(items)
        prompts.append(
            DecodeRequest(prompt_from_history(prompt_format, catalog, items, clicks, PromptContext()).tokens)
        )
    return prompts


def check_golden(
    decoder: TwoStageDecoder, prompt_format: PromptFormat, clock_s: Callable[[], float], most_ms: float
) -> GoldenTimes:
    """Raises BundleRefused where an answer is none, holds what the catalogue does not, or takes too long (median)."""
    prompts = golden_prompts(prompt_format, decoder.catalog)
    took_ms = []
    # Longest first: what is compiled or allocated for a size is not the model's doing.
    decoder([prompts[-1]])
    for number, prompt in enumerate(prompts):
        began_s = clock_s()
        [answer] = decoder([prompt])
        took_ms.append((clock_s() - began_s) * 1000)
        if isinstance(answer, RankGRError):
            raise BundleRefused(f"golden request {number}: {type(answer).__name__}: {answer}")
        if (wrong := _wrong_with(answer, decoder.catalog)) is not None:
            raise BundleRefused(f"golden request {number}: {wrong}")
    times = GoldenTimes(float(np.median(took_ms)), max(took_ms))
    if times.median_ms > most_ms:
        raise BundleRefused(
            f"golden requests take {times.median_ms:.1f} ms (median), at most {most_ms:g} ms are allowed"
        )
    return times


def _wrong_with(answer: DecodeResult, catalog: Catalog) -> str | None:
    if not len(answer.item_id):
        return "the list is empty"
    row_K = catalog.rows_of(answer.item_id)
    if (row_K < 0).any():
        return f"item {answer.item_id[row_K < 0][0]} is not in the catalogue"
    if not (catalog.codes[row_K] == answer.codes).all():
        return "an item stands under a semantic id that is not its own"
    if len(np.unique(answer.item_id)) < len(answer.item_id):
        return "an item stands in the list twice"
    if not np.isfinite(answer.score).all() or (np.diff(answer.score) > 0).any():
        return "scores are not finite, or not in order"
    return None
