"""What an analysis answers: an interval with how it was made, or a refusal with the reason. Never a bare number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Values: TypeAlias = Sequence[float] | NDArray[np.float64]

LEVEL: Final = 0.95
"""The confidence of every interval unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its confidence interval; all three in the unit of the values.

    n_eff: how many independent values would tell as much; method: how it was made, for a footnote; level: its confidence.
    notes: what a reader has to know besides.
    """

    estimate: float
    low: float
    high: float
    n_eff: float
    method: str
    level: float = LEVEL
    notes: tuple[str, ...] = ()

    @property
    def half_width(self) -> float:
        """The longer of its two arms."""
        return max(self.high - self.estimate, self.estimate - self.low)

    @property
    def relative_half_width(self) -> float:
        """The longer arm as a share of the estimate; infinite around zero."""
        if not self.half_width:
            return 0.0
        return self.half_width / abs(self.estimate) if self.estimate else float("inf")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Refused:
    """No interval, and why: one sentence for people. estimate: the figure itself, where there is one; n_eff: as far as known."""

    reason: str
    estimate: float | None = None
    n_eff: float | None = None


def finite(values: Values) -> Floats:
    """The values as an array, shape (n,). Raises ValueError where one is not finite or the shape is another."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise ValueError(f"values of shape {found.shape}: one dimension is expected")
    if not np.isfinite(found).all():
        raise ValueError("values that are not finite: leave out what is absent, and say so")
    return found


def confidence(level: float) -> float:
    """The level itself. Raises ValueError unless it lies between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence of {level} is not between 0 and 1")
    return level
