"""The gate: what a bundle that could be read whole must still show before a channel may move to it.

`promote` calls it with the candidate and what serves; the command line and a trainer build it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.errors import BundleRefused, RankGRError
from model.bundle.read import Bundle
from model.data.timelines import HeldOut
from model.decoding.two_stage import TwoStageDecoder
from model.evaluation.evaluate import measure_users
from model.evaluation.golden import check_golden
from model.evaluation.no_fall import falls
from model.evaluation.recommender import Generative
from model.evaluation.user_metrics import UserMetrics
from services.bundles.promote import Verdict
from services.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class GateRules:
    """`golden_ms`: the golden requests' median; `max_fall`: of HR@k, as a share of the serving model's.

    With fewer than `min_users` held-out users nothing is said about falls.
    """

    golden_ms: float = 5000.0
    k: int = 20
    max_fall: float = 0.05
    min_users: int = 50


@dataclass(frozen=True, slots=True)
class Gate:
    """`users` are held-out recent samples, newer than what the candidate was trained on; none: not compared."""

    rules: GateRules
    clock: Clock
    users: Sequence[HeldOut] = field(default=())

    def __call__(self, candidate: Bundle, serving: Bundle | None) -> Verdict:
        """What was found; never raises for what is wrong with the candidate."""
        figures: dict[str, float] = {}
        try:
            self._same_words(candidate, serving)
            decoder = TwoStageDecoder(candidate.network(), candidate.catalog, neighbours=candidate.neighbours)
            times = check_golden(decoder, candidate.prompt_format, self.clock.monotonic_s, self.rules.golden_ms)
            figures |= {"golden_median_ms": times.median_ms, "golden_worst_ms": times.worst_ms}
            if serving is not None and self.users:
                self._no_fall(candidate, serving, figures)
        except RankGRError as error:
            return Verdict(str(error), figures)
        return Verdict(None, figures)

    def _same_words(self, candidate: Bundle, serving: Bundle | None) -> None:
        """Prompts name their catalogue alone: where that is the same, they must be written the same way."""
        if serving is None or candidate.manifest.catalog_version != serving.manifest.catalog_version:
            return
        if candidate.prompt_format != serving.prompt_format:
            raise BundleRefused(
                f"catalogue {candidate.manifest.catalog_version} is that of the serving model "
                f"{serving.manifest.model_version}, whose prompts are written otherwise: they could not be told apart"
            )

    def _no_fall(self, candidate: Bundle, serving: Bundle, figures: dict[str, float]) -> None:
        metric = f"HR@{self.rules.k}"
        found = falls(self._measured(candidate), self._measured(serving), metric, self.rules.min_users)
        for fall in found:
            name = f"{fall.truth} {metric}"
            figures |= {
                f"{name} serving": fall.serving,
                f"{name} difference": fall.difference.mean,
                f"{name} low": fall.difference.low,
                f"{name} high": fall.difference.high,
                f"{name} users": float(fall.users),
            }
        for fall in found:
            if fall.exceeds(self.rules.max_fall):
                interval = f"{fall.difference.low:.4f} to {fall.difference.high:.4f}"
                raise BundleRefused(
                    f"{fall.truth} {metric} falls by {fall.share:.1%} (from {fall.serving:.4f} by "
                    f"{fall.difference.mean:.4f}, 95 % interval {interval}, "
                    f"{fall.users} users), at most {self.rules.max_fall:.1%} are allowed"
                )

    def _measured(self, bundle: Bundle) -> UserMetrics:
        decoder = TwoStageDecoder(bundle.network(), bundle.catalog, neighbours=bundle.neighbours)
        method = Generative(decoder, bundle.prompt_format, bundle.catalog)
        return measure_users(method, self.users, (self.rules.k,))
