"""Train an RQ-VAE: reconstruction and co-occurrence take turns (FORGE, arXiv 2509.20904).  Equal seeds, equal weights.

Called when semantic ids are made.  docs/semantic-ids.md has the losses and what differs from the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import cos, pi

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from contracts.errors import BadDataSet
from contracts.progress import Progress, Silent
from model.semantic_id.finite import finite
from model.semantic_id.one_thread import one_thread
from model.semantic_id.quantiser import Float32s
from model.semantic_id.residual_kmeans import ResidualKMeans
from model.semantic_id.rqvae.contrast import contrastive_loss
from model.semantic_id.rqvae.frozen import RqVae
from model.semantic_id.rqvae.network import Assignment, Quantised, RqVaeNetwork
from model.semantic_id.settings import RqVaeSettings

# Shapes: N items, D dimensions, P pairs, B items of a batch, V codes of a level, Z latent.
Int64s = npt.NDArray[np.int64]

RISE_SHARE = 0.05
# The learning rate falls to this share of its peak.
LAST_SHARE = 1e-3
LARGEST_GRADIENT = 1.0
# Codes are not moved any more when so little of the training is left: they could not settle.
RESTARTS_UNTIL = 0.9
# First codebooks come from a k-means over at most so many encodings per code.
FIRST_POINTS_PER_CODE = 64
SHOWN_EVERY = 20


def train_rqvae(
    features_ND: Float32s,
    pairs_P2: Int64s,
    level_sizes: Sequence[int],
    settings: RqVaeSettings,
    seed: int,
    progress: Progress | None = None,
) -> RqVae:
    """An RQ-VAE of these features; pairs_P2: rows of items that occur together, none where nothing is known.

    Raises BadDataSet for no items, for features that are not finite, and where training diverges.
    """
    if not len(features_ND):
        raise BadDataSet("no items to make semantic ids for")
    features_ND = finite(features_ND)
    # Inputs of about unit variance: the learning rate then suits any feature.
    scale = 1.0 / max(float(np.sqrt(np.square(features_ND, dtype=np.float64).mean())), 1e-12)
    with _alone(seed):
        training = _Training(features_ND, pairs_P2, level_sizes, settings, seed, scale)
        training.run(progress or Silent())
        return training.network.frozen(scale)


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """One thread, so that sums are always added in one order, and chance from the seed alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_thread(), torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


class _Training:
    def __init__(
        self,
        features_ND: Float32s,
        pairs_P2: Int64s,
        level_sizes: Sequence[int],
        settings: RqVaeSettings,
        seed: int,
        scale: float,
    ) -> None:
        self._features_ND = features_ND
        self._pairs_P2 = pairs_P2
        self._settings = settings
        self._seed = seed
        self._scale = np.float32(scale)
        self._chance = np.random.default_rng(seed)
        self._order = np.zeros(0, np.int64)
        self.network = RqVaeNetwork(features_ND.shape[1], settings.hidden, settings.latent, level_sizes)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._used = [torch.zeros(size, dtype=torch.int64) for size in level_sizes]

    def run(self, progress: Progress) -> None:
        """All steps: first without codes, then with them."""
        settings = self._settings
        progress.begin("RQ-VAE", settings.steps)
        for step in range(settings.steps):
            if step == settings.warm_up:
                self._begin_codebooks()
            loss, quantised = self._loss(step)
            if not bool(torch.isfinite(loss)):
                raise BadDataSet(f"RQ-VAE: training diverged in step {step + 1}: lower its learning rate")
            self._descend(loss, step)
            if quantised is not None:
                self._count(quantised)
                if (step + 1) % settings.restart_every == 0 and step < RESTARTS_UNTIL * settings.steps:
                    self._restart_dead(quantised)
            if (step + 1) % SHOWN_EVERY == 0:
                progress.advance(SHOWN_EVERY, f"loss {float(loss.detach()):.4f}")
        if settings.warm_up == settings.steps:
            self._begin_codebooks()

    def _loss(self, step: int) -> tuple[Tensor, Quantised | None]:
        """Of the step's batch, whichever kind it is; and how it was quantised, if it was."""
        settings, network = self._settings, self.network
        coded = step >= settings.warm_up
        paired = len(self._pairs_P2) > 0 and self._is_paired(step)
        given_BD = self._pair_batch() if paired else self._batch(self._next_items())
        latent_BZ = network.encoder(given_BD)
        quantised = (
            network.quantise(latent_BZ, Assignment(settings.sinkhorn, settings.sinkhorn_rounds)) if coded else None
        )
        rebuilt_BD = network.decoder(quantised.passed() if quantised else latent_BZ)
        if paired:
            (rebuilt_a, rebuilt_b), (given_a, given_b) = rebuilt_BD.chunk(2), given_BD.chunk(2)
            loss = settings.contrast_weight * contrastive_loss(rebuilt_a, rebuilt_b, given_a, given_b, network.scale)
        else:
            loss = functional.mse_loss(rebuilt_BD, given_BD)
        if quantised is not None:
            loss = loss + quantised.commitment(settings.commitment) / settings.latent
        return loss, quantised

    def _is_paired(self, step: int) -> bool:
        """Whether the step belongs to the contrast: spread evenly, `contrast` of all steps."""
        share = self._settings.contrast
        return int((step + 1) * share) > int(step * share)

    def _next_items(self) -> Int64s:
        """Rows of the next batch: every item once before any comes again."""
        size = min(self._settings.batch, len(self._features_ND))
        if len(self._order) < size:
            self._order = np.concatenate([self._order, self._chance.permutation(len(self._features_ND))])
        rows_B, self._order = self._order[:size], self._order[size:]
        return rows_B

    def _pair_batch(self) -> Tensor:
        """Pairs drawn with replacement, in either order: first halves, then second halves."""
        size = min(max(self._settings.batch // 2, 1), len(self._pairs_P2))
        pair_B2 = self._pairs_P2[self._chance.integers(0, len(self._pairs_P2), size)]
        return self._batch(pair_B2.T.reshape(-1))

    def _batch(self, rows_B: Int64s) -> Tensor:
        return torch.from_numpy(self._features_ND[rows_B] * self._scale)

    def _descend(self, loss: Tensor, step: int) -> None:
        settings = self._settings
        rise = max(1.0, RISE_SHARE * settings.steps)
        fall = LAST_SHARE + (1.0 - LAST_SHARE) * (1.0 + cos(pi * step / settings.steps)) / 2.0
        for group in self._optimiser.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (step + 1) / rise) * fall
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self._optimiser.step()

    def _begin_codebooks(self) -> None:
        """First code vectors: residual k-means of what the encoder makes of some items."""
        sizes = [len(vector_VZ) for vector_VZ in self.network.codebooks]
        most = FIRST_POINTS_PER_CODE * max(sizes)
        rows = self._chance.permutation(len(self._features_ND))[:most]
        with torch.no_grad():
            latent_KZ = self.network.encoder(self._batch(rows)).numpy()
            first = ResidualKMeans.fit(latent_KZ, sizes, self._seed)
            for vector_VZ, centroid_VZ in zip(self.network.codebooks, first.centroids, strict=True):
                vector_VZ.copy_(torch.from_numpy(centroid_VZ))

    def _count(self, quantised: Quantised) -> None:
        for used_V, code_B in zip(self._used, quantised.nearest, strict=True):
            used_V += torch.bincount(code_B, minlength=len(used_V))

    def _restart_dead(self, quantised: Quantised) -> None:
        """Codes that were nearest to nothing since the last look move onto what items of this batch left of them."""
        for used_V, vector_VZ, rest_BZ in zip(self._used, self.network.codebooks, quantised.rests, strict=True):
            dead = torch.nonzero(used_V == 0).reshape(-1)
            if len(dead):
                rows = torch.from_numpy(self._chance.integers(0, len(rest_BZ), len(dead)))
                with torch.no_grad():
                    vector_VZ[dead] = rest_BZ[rows]
                state = self._optimiser.state.get(vector_VZ, {})
                for moment in ("exp_avg", "exp_avg_sq"):
                    if moment in state:
                        state[moment][dead] = 0.0
            used_V.zero_()
