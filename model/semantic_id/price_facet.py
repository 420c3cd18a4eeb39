"""Prices in item texts, as a number instead of a word: 119 and 120 are neighbours, not two unrelated tokens.

Called by the text features; knows nothing of currencies, so one data set is taken to use one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

_PRICE = re.compile(r"\bprice\b[:\s]*\$?(\d+(?:\.\d+)?)", re.IGNORECASE)
# A handful of absurd prices must not squeeze all others into one corner of the scale.
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.0
# A scale narrower than this has one price on it.
NARROWEST = 1e-9


def split_prices(texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Texts without their "price 120" phrases, and the first price of each: Float64[N], NaN where none."""
    found = [_PRICE.search(text) for text in texts]
    price_N = np.asarray([float(match[1]) if match else np.nan for match in found], np.float64)
    words = [_PRICE.sub(" ", text) if match else text for text, match in zip(texts, found, strict=True)]
    return words, price_N


def priced(text: str, price: float) -> str:
    """The parts of a text between `|` with this price as the last one; none where the price is NaN."""
    parts = [part.strip() for part in text.split("|")]
    if price == price:
        parts.append(f"price {price:g}")
    return " | ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class PriceScale:
    """Where cheap ends and dear begins, as logarithms: log(1 + price)."""

    low: float
    high: float

    @classmethod
    def fit(cls, price_N: npt.NDArray[np.float64]) -> Self | None:
        """The scale of these prices, NaN where there is none; None where there is none at all."""
        known_K = price_N[np.isfinite(price_N)]
        if not known_K.size:
            return None
        low, high = np.percentile(np.log1p(known_K), [LOW_PERCENTILE, HIGH_PERCENTILE])
        return cls(float(low), float(high))

    def directions(self, price_N: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """A unit vector per item, Float32[N, 2]: half a circle from cheap to dear; zero where no price is told.

        An angle, for unlike a bare number it is of the same length for every price.
        """
        place_N = (np.log1p(price_N) - self.low) / max(self.high - self.low, NARROWEST)
        angle_N = np.pi * np.clip(place_N, 0.0, 1.0)
        direction_N2 = np.column_stack([np.cos(angle_N), np.sin(angle_N)])
        return np.where(np.isfinite(price_N)[:, None], direction_N2, 0.0).astype(np.float32)
