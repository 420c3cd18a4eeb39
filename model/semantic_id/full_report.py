"""All that `rankgr sid report` tells: how codes are spread, what they lost, and examples for the eye."""

from __future__ import annotations

from collections.abc import Mapping

from model.semantic_id.catalog import Catalog
from model.semantic_id.evidence import RelatedItems
from model.semantic_id.hit_rate import hit_rates
from model.semantic_id.neighbourhoods import Neighbourhood, example_neighbourhoods
from model.semantic_id.quantiser import Float32s, Quantiser
from model.semantic_id.report import SidReport, sid_report

# How many neighbours count.
HIT_RATE_KS = (10, 100)
INPUT, DEQUANTISED = "input", "dequantised"

HitRates = dict[str, dict[str, dict[str, float] | None]]


class FullReport(SidReport):
    """`embedding_hit_rate[relation][embedding]["@k"]`: relation train or valid, embedding input or dequantised.

    The input is null where its vectors are not known; all is empty where it is not known which items go together.
    """

    embedding_hit_rate: HitRates
    neighbourhoods: list[Neighbourhood]


def full_report(
    catalog: Catalog,
    quantiser: Quantiser | None,
    vectors_ND: Float32s | None,
    relations: Mapping[str, RelatedItems],
) -> FullReport:
    """The report on a catalogue; vectors_ND: what its quantiser was given.  Without quantiser: the codes alone."""
    spread = sid_report(catalog.codes, catalog.level_sizes)
    if quantiser is None or not len(catalog):
        return FullReport(**spread, embedding_hit_rate={}, neighbourhoods=[])
    decoded_ND = quantiser.decode(catalog.codes)
    rates: HitRates = {}
    for name, related in relations.items():
        rates[name] = {
            INPUT: None if vectors_ND is None else _named(vectors_ND, related),
            DEQUANTISED: _named(decoded_ND, related),
        }
    return FullReport(**spread, embedding_hit_rate=rates, neighbourhoods=example_neighbourhoods(catalog, decoded_ND))


def _named(vectors_ND: Float32s, related: RelatedItems) -> dict[str, float]:
    return {f"@{k}": rate for k, rate in hit_rates(vectors_ND, related, HIT_RATE_KS).items()}
