"""Prompts that an engine decodes before it is ready: as long, as wide and as many at once as will come.

Compiled regions, captured graphs and buffers are made for sizes; nobody's first request shall pay for them.
"""

from __future__ import annotations

import numpy as np

from contracts.behaviors import Level
from model.bundle.prompt_side import PromptSide
from model.decoding.request import DecodeRequest
from model.prompt import PromptContext, prompt_from_history
from services.engine.serving import Batches


def warm_up_batches(side: PromptSide, most: int) -> Batches:
    """The longest prompt alone, an empty history alone, and a full batch of `most` mixed lengths.

    Random items of the catalogue, always the same; widths are the bundle's.
    """
    longest = side.prompt_format.max_tokens // side.prompt_format.item_tokens + 1
    lengths = [round(longest * part) for part in np.linspace(1.0, 0.1, most)]
    return [[_prompt(side, longest)], [_prompt(side, 0)], [_prompt(side, items) for items in lengths]]


def _prompt(side: PromptSide, items: int) -> DecodeRequest:
    known = side.catalog.item_id
    chosen = np.random.default_rng(items).choice(known, items if len(known) else 0)
    clicks = [int(Level.CLICK)] * len(chosen)
    prompt = prompt_from_history(side.prompt_format, side.catalog, chosen.tolist(), clicks, PromptContext())
    return DecodeRequest(prompt.tokens)
