"""When a study with `--until-half-width 5%` has run enough, and when it looks again.

Whoever stops at the first interval that is narrow enough stops too often at an interval that is narrow by luck, and such intervals
hold the truth less often than they say (Law, Simulation Modeling and Analysis, 2015, 9.4.1). Three things keep that small
(docs/statistics.md has the measured coverage):

  a first look at 10 replications, not 3
  few looks: the next one where the interval is expected to be narrow enough, at least half as many again and at most twice as many
  the width asked of the interval is r / (1 + r) of the estimate, so that the error is at most r of the truth (Law, ibid.)

One long run is prolonged by the same rule: `done` then counts its simulated time, in whichever unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from sim.analysis.outcome import Interval, Refused

FIRST: Final = 10
_LEAST_MORE: Final = 1.5
_MOST_MORE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the interval tells. stop: no more runs; reached: the interval is narrow enough; next: how much to have done at
    the next look, None after the last; reason: one sentence for people."""

    stop: bool
    reached: bool
    next: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class StopRule:
    """Until the longer arm of the interval is at most `relative` of the estimate.

    first: replications (or time) before the first look; most: where to give up. Raises ValueError where they make no sense.
    """

    relative: float = 0.05
    first: int = FIRST
    most: int = 1000

    def __post_init__(self) -> None:
        if not self.relative > 0:
            raise ValueError(f"a half width of {self.relative:.0%} is never reached")
        if not 0 < self.first <= self.most:
            raise ValueError(f"the first look at {self.first} is not between 1 and the last at {self.most}")

    def look(self, found: Interval | Refused, done: int) -> Look:
        """What to do with the interval that `done` replications (or so much time) gave."""
        if isinstance(found, Refused):
            share, said = math.inf, f"no interval yet: {found.reason}"
        else:
            share = found.relative_half_width
            said = f"{share:.1%} at {done}"
            if done >= self.first and share <= self.relative / (1 + self.relative):
                return Look(True, True, None, f"half width {said}: within {self.relative:.1%} of the truth")
        if done >= self.most:
            return Look(True, False, None, f"given up: {said}, {self.relative:.1%} was asked")
        expected = done * (share * (1 + self.relative) / self.relative) ** 2 if math.isfinite(share) else math.inf
        further = min(max(expected, _LEAST_MORE * done, done + 1), _MOST_MORE * done)
        return Look(
            False,
            False,
            min(max(math.ceil(further), self.first), self.most),
            f"half width {said}" if math.isfinite(share) else said,
        )
