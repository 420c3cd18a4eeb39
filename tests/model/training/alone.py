"""The oracle of the packed layout: every prompt, and every target behind it, in a forward of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.data.timelines import Session, Timeline
from model.network.network import RankGRNetwork
from model.prompt import PromptContext, PromptFormat, key_positions, prompt_from_history
from model.semantic_id.catalog import Catalog
from model.training.samples import SessionSample, TrainingRow


def states_alone(network: RankGRNetwork, tokens: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Tensor:
    """States [L, D] of one sequence under the plain causal mask."""
    tokens_1L = torch.from_numpy(tokens)[None]
    states: Tensor = network(tokens_1L, torch.arange(tokens_1L.shape[1])[None])[0]
    return states


@dataclass(frozen=True, slots=True)
class Alone:
    """One session: its prompt's states [L, D], its rank-head keys [H, D], and h_1..h_m [m, D] of each target."""

    sample: SessionSample
    prompt_LD: Tensor
    keys_HD: Tensor
    target_KmD: tuple[Tensor, ...]


def sessions_alone(network: RankGRNetwork, rows: Sequence[TrainingRow], fmt: PromptFormat) -> Iterator[Alone]:
    """The sessions of all rows, in order, each target behind a prompt of its own."""
    for row in rows:
        for sample in row.sessions:
            prompt = np.concatenate([row.history_L[: sample.visible], sample.context_C])
            prompt_LD = states_alone(network, prompt)
            targets = []
            for codes in sample.codes_Km:
                fed = codes[:-1] + np.array(fmt.token_offsets[:-1], np.int64)
                targets.append(states_alone(network, np.concatenate([prompt, fed]))[len(prompt) - 1 :])
            keys_HD = prompt_LD[torch.from_numpy(key_positions(fmt, prompt))]
            yield Alone(sample, prompt_LD, keys_HD, tuple(targets))


def served_prompt(
    fmt: PromptFormat, catalog: Catalog, timeline: Timeline, session: Session
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The prompt that serving would build for a session's user at that moment."""
    circumstances = session.circumstances
    context = PromptContext.at(
        timestamp_ms=None if circumstances.timestamp_s is None else circumstances.timestamp_s * 1000,
        scene=circumstances.scene,
        device=circumstances.device,
    )
    items, levels = timeline.items[: session.cut], timeline.levels[: session.cut]
    return prompt_from_history(fmt, catalog, items, levels, context).tokens
