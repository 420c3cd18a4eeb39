"""The gate lets through what is as good, and says in one line why it does not; what is refused is kept aside."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import BadBundle, BundleRefused, BundleStoreDown, PointerMoved
from model.bundle.read import Bundle, read_bundle
from model.bundle.write import write_bundle
from model.data.timelines import HeldOut, RequestCircumstances
from model.decoding.two_stage import TwoStageDecoder
from model.evaluation.bootstrap import Interval
from model.evaluation.golden import golden_prompts
from model.evaluation.no_fall import Fall
from model.evaluation.recommender import Generative
from services.bundles.gate import Gate, GateRules
from services.bundles.promote import PromoteBundle, Verdict
from services.bundles.publication import Publication
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel, Move, next_move, now_at
from services.runtime.clock import ManualClock, SystemClock

from ...model.bundle.contents import contents

USERS = 80
RULES = GateRules(golden_ms=60_000, k=1, max_fall=0.05, min_users=50)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two of one catalogue and other weights."""
    place = tmp_path_factory.mktemp("gate")
    for seed in range(2):
        write_bundle(contents(seed), place / f"b{seed}")
    return [read_bundle(place / f"b{seed}") for seed in range(2)]


def users_of(bundle: Bundle, count: int = USERS) -> list[HeldOut]:
    """Users who want exactly what this model puts first."""
    rng = np.random.default_rng(0)
    users = [
        HeldOut(
            user=f"u{number}",
            items=rng.choice(bundle.catalog.item_id, 6),
            levels=np.full(6, 2, np.int8),
            timestamps=np.arange(6),
            circumstances=RequestCircumstances(scene=None, timestamp_s=None, device=None),
            truth={"click": frozenset({0})},
        )
        for number in range(count)
    ]
    method = Generative(TwoStageDecoder(bundle.network(), bundle.catalog), bundle.prompt_format, bundle.catalog)
    return [
        dataclasses.replace(user, truth={"click": frozenset({int(ranking.item_R[0])})})
        for user, ranking in zip(users, method(users), strict=True)
    ]


def test_an_equal_model_passes_and_a_worse_one_does_not(bundles: list[Bundle]) -> None:
    gate = Gate(RULES, SystemClock(), users_of(bundles[0]))
    same = gate(bundles[0], bundles[0])
    assert same.reason is None
    assert same.figures["click HR@1 serving"] == 1.0
    assert same.figures["click HR@1 difference"] == 0.0
    worse = gate(bundles[1], bundles[0])
    assert worse.reason is not None
    assert "click HR@1 falls by" in worse.reason
    assert worse.figures["click HR@1 high"] < 0
    # The other way round it is a gain.
    assert gate(bundles[0], bundles[1]).reason is None
    # A threshold that allows it, too few users to say so, nobody to compare with.
    assert (
        Gate(dataclasses.replace(RULES, max_fall=1.0), SystemClock(), gate.users)(bundles[1], bundles[0]).reason is None
    )
    assert Gate(RULES, SystemClock(), gate.users[:49])(bundles[1], bundles[0]).reason is None
    assert gate(bundles[1], None).reason is None


def test_a_fall_must_be_large_and_sure() -> None:
    def fall(mean: float, high: float) -> Fall:
        return Fall("click", "HR@1", 100, 0.5, Interval(mean, mean - 0.1, high, 0.1))

    assert fall(-0.1, -0.01).exceeds(0.05)
    assert not fall(-0.1, 0.01).exceeds(0.05), "not sure"
    assert not fall(-0.01, -0.001).exceeds(0.05), "not large"
    assert not fall(0.1, 0.2).exceeds(0.0)


def test_a_slow_model_is_refused(bundles: list[Bundle]) -> None:
    class Slow(ManualClock):
        def monotonic_s(self) -> float:
            self.advance(0.02)
            return super().monotonic_s()

    verdict = Gate(dataclasses.replace(RULES, golden_ms=19), Slow())(bundles[0], None)
    assert verdict.reason == "golden requests take 20.0 ms (median), at most 19 ms are allowed"
    assert Gate(dataclasses.replace(RULES, golden_ms=21), Slow())(bundles[0], None).reason is None


def test_states_that_overflow_are_found_by_a_golden_request(bundles: list[Bundle]) -> None:
    weights = {name: tensor.clone() for name, tensor in bundles[0].weights.items()}
    weights["model.layers.0.mlp.down_proj.weight"].fill_(3e38)
    verdict = Gate(RULES, SystemClock())(dataclasses.replace(bundles[0], weights=weights), None)
    assert verdict.reason is not None
    assert verdict.reason.startswith("golden request 0: EngineFailed")


def test_prompts_of_one_catalogue_are_written_one_way(bundles: list[Bundle]) -> None:
    other = dataclasses.replace(bundles[0].prompt_format, max_tokens=20)
    verdict = Gate(RULES, SystemClock())(dataclasses.replace(bundles[1], prompt_format=other), bundles[0])
    assert verdict.reason is not None
    assert "whose prompts are written otherwise" in verdict.reason


def test_golden_prompts_are_always_the_same_and_of_every_length(bundles: list[Bundle]) -> None:
    one, again = (golden_prompts(bundles[0].prompt_format, bundles[0].catalog) for _ in range(2))
    assert [list(a.tokens) for a in one] == [list(b.tokens) for b in again]
    assert len({len(prompt.tokens) for prompt in one}) > 5


class TestPromoting:
    """What becomes of a publication."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> BundleStore:
        return open_bundle_store(str(tmp_path / "store"))

    def promoting(self, store: BundleStore, noted: list[Publication], gate: Gate | None = None) -> PromoteBundle:
        return PromoteBundle(store, ManualClock(), "a test", 3, gate, noted.append)

    def test_what_the_gate_refuses_is_kept_aside_and_the_old_one_stays(
        self, store: BundleStore, bundles: list[Bundle]
    ) -> None:
        noted: list[Publication] = []
        gate = Gate(RULES, SystemClock(), users_of(bundles[0]))
        first = self.promoting(store, noted, gate)(bundles[0].path)
        assert "golden_median_ms" in first.figures
        for _ in range(2):
            with pytest.raises(BundleRefused, match="click HR@1 falls by"):
                self.promoting(store, noted, gate)(bundles[1].path)
        # Past the gate as a canary, it is still judged before everybody gets it.
        self.promoting(store, noted)(bundles[1].path, Channel.CANARY)
        with pytest.raises(BundleRefused):
            self.promoting(store, noted, gate).stored(now_at(store.moves(Channel.CANARY)) or "")
        assert now_at(store.moves(Channel.LATEST)) == first.bundle.version
        assert [one.value for one in noted] == ["promoted", "refused", "refused", "promoted", "refused"]
        [refusal, *_] = store.refusals()
        assert "falls by" in refusal.reason
        assert refusal.figures["click HR@1 difference"] < 0

    def test_who_was_overtaken_while_judging_is_told(self, store: BundleStore, bundles: list[Bundle]) -> None:
        noted: list[Publication] = []
        self.promoting(store, noted)(bundles[0].path)
        version = now_at(store.moves(Channel.LATEST))

        def meanwhile(_candidate: Bundle, _serving: Bundle | None) -> Verdict:
            move = Move(number=next_move(store.moves(Channel.LATEST)), version=version, at_ms=0, by="another")
            store.move(Channel.LATEST, move)
            return Verdict(None)

        promote = PromoteBundle(store, ManualClock(), "a test", 3, meanwhile, noted.append)
        with pytest.raises(PointerMoved, match="moved by somebody else meanwhile"):
            promote(bundles[1].path)
        assert now_at(store.moves(Channel.LATEST)) == version
        assert noted == [Publication.PROMOTED, Publication.OVERTAKEN]

    def test_damage_and_a_store_that_is_down_are_told_apart(
        self, store: BundleStore, bundles: list[Bundle], tmp_path: Path
    ) -> None:
        noted: list[Publication] = []
        promote = self.promoting(store, noted)
        with pytest.raises(BadBundle):
            promote(tmp_path)
        (tmp_path / "store").write_text("no directory")
        with pytest.raises(BundleStoreDown):
            promote(bundles[0].path)
        assert noted == [Publication.DAMAGED, Publication.FAILED]
