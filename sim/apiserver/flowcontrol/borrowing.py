"""Dividing the server's seats among priority levels, again every 10 s: who uses few lends to who could use more.

Each level's share is proportional to its smoothed demand, but not below what it must keep (its nominal seats less the
lendable ones; or the peak of the last period, as far as that is nominally its own) nor above what it may have. So an idle
server's seats are divided in proportion to what cannot be lent, and a level that lends much starts small: the first
burst meets that, the next adjustment gives it more.

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/conc_alloc.go (computeConcurrencyAllocation), apf_controller.go
(updateBorrowing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MIN_TARGET: Final = 0.001
"""A level that wants nothing is taken to want this many seats, so that nothing is divided by zero (MinTarget)."""
_EPSILON: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Claim:
    """What one level asks for, in seats: proportional to `target`, but within the bounds. 0 <= low <= target, low <= high."""

    target: float
    low: float
    high: float


@dataclass(slots=True)
class Borrower:
    """One level at the moment of an adjustment, in seats.

    nominal: its configured share; minimum: what it does not lend; maximum: nominal plus what it may borrow; peak and
    smoothed: its demand (flowcontrol/demand.py).
    """

    nominal: int
    minimum: int
    maximum: int
    peak: int
    smoothed: float
    exempt: bool = False

    @property
    def keeps(self) -> int:
        """The least it gets while there is enough: the peak of its demand up to its nominal seats, its minimum anyway."""
        if self.exempt:
            return max(self.minimum, self.peak)
        return max(self.minimum, min(self.nominal, self.peak))


def allocate(total: int, claims: Sequence[Claim]) -> list[float]:
    """Seats for each claim, summing to `total`: one proportion of all targets, cut at the bounds.

    Raises ValueError where that is impossible: bounds that contradict each other or sum to more or less than the total.
    """
    low = sum(claim.low for claim in claims)
    high = sum(claim.high for claim in claims)
    for claim in claims:
        if not 0 <= claim.low <= claim.target or claim.high < claim.low:
            raise ValueError(f"{claim} is no claim; needed: 0 <= low <= target and low <= high")
    if total < 0 or low - total > _EPSILON or total - high > _EPSILON:
        raise ValueError(f"{total} seats for claims that sum to between {low} and {high}")
    if total == 0:
        return [0.0 for _ in claims]
    if low - total > -_EPSILON:
        return [claim.low for claim in claims]
    if total - high > -_EPSILON:
        return [claim.high for claim in claims]
    targets = [max(claim.target, MIN_TARGET) for claim in claims]
    proportion = _proportion(total, low, claims, targets)
    return [max(claim.low, min(claim.high, proportion * target)) for claim, target in zip(claims, targets, strict=True)]


def _proportion(total: int, low: float, claims: Sequence[Claim], targets: list[float]) -> float:
    """The proportion at which the claims sum to the total: raised from bound to bound, from where all get their least.

    A claim's seats rise with the proportion between its two bounds and stand still elsewhere.
    """
    lows = [claim.low / target for claim, target in zip(claims, targets, strict=True)]
    highs = [claim.high / target for claim, target in zip(claims, targets, strict=True)]
    unbounded = total / sum(targets)
    if max(lows) <= unbounded <= min(highs):
        return unbounded
    bounds = sorted(
        [(bound, target) for bound, target in zip(lows, targets, strict=True)]
        + [(bound, -target) for bound, target in zip(highs, targets, strict=True)],
        key=lambda bound: bound[0],
    )
    proportion, reached, rising = min(lows), low, 0.0
    for bound, change in bounds:
        if bound > proportion:
            if rising > 0:
                wanted = proportion + (total - reached) / rising
                if wanted <= bound:
                    return wanted
                reached += (bound - proportion) * rising
            proportion = bound
        rising += change
    return proportion


def current_limits(levels: Sequence[Borrower]) -> list[int]:
    """The limit of each level until the next adjustment, in seats and in the order given (updateBorrowing).

    What exempt levels used at their peak is gone first. If the rest does not even cover what the others keep, they get a
    part of it, but never less than their minimum.
    """
    total = sum(level.nominal for level in levels)
    limited = [level for level in levels if not level.exempt]
    rest = total - sum(level.keeps for level in levels if level.exempt)
    minimum = sum(level.minimum for level in limited)
    kept = sum(level.keeps for level in limited)
    if rest <= minimum:
        shares = [level.minimum for level in limited]
    elif rest <= kept:
        part = (rest - minimum) / (kept - minimum)
        shares = [level.minimum + _rounded((level.keeps - level.minimum) * part) for level in limited]
    else:
        claims = [Claim(max(float(level.keeps), level.smoothed), float(level.keeps), float(level.maximum)) for level in limited]
        shares = [_rounded(seats) for seats in allocate(total, claims)]
    given = iter(shares)
    return [level.keeps if level.exempt else next(given) for level in levels]


def _rounded(value: float) -> int:
    """To the nearest whole number, halves up (math.Round of a number that is not negative)."""
    whole = int(value)
    return whole + (value - whole >= 0.5)
