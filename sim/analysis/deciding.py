"""Replications until an objective is decided, without deceiving oneself by looking often.

Whoever looks at a 95% interval after every run and stops as soon as it misses the bound stops by luck far more often than one
time in twenty. So there are few looks, at numbers fixed beforehand (5, 10, 20, 40 ...), and each is asked at a confidence that
shares the error among them (Bonferroni): over all looks together a verdict against the truth comes at most 1 - level of the time,
half of it on either side. An objective met or missed by far is decided at the first look all the same; one whose truth is at the
bound stays undecided.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.analysis.outcome import LEVEL, confidence

FIRST = 5
MOST = 80


@dataclass(frozen=True, slots=True)
class DecideRule:
    """When to look: at `first` replications, then at twice as many, up to `most`. Raises ValueError where they make no sense."""

    first: int = FIRST
    most: int = MOST
    level: float = LEVEL

    def __post_init__(self) -> None:
        confidence(self.level)
        if not 1 <= self.first <= self.most:
            raise ValueError(f"the first look at {self.first} is not between 1 and the last at {self.most}")

    @property
    def looks(self) -> tuple[int, ...]:
        """How many replications there are at each look."""
        found = [self.first]
        while found[-1] < self.most:
            found.append(min(2 * found[-1], self.most))
        return tuple(found)

    @property
    def level_of_a_look(self) -> float:
        """The confidence to ask of the interval at each look."""
        return 1 - (1 - self.level) / len(self.looks)
