"""How a figure grows over the variants of a system: laws fitted to the runs, and to what was published."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sim.analysis.growth import Choice, choose
from sim.analysis.outcome import Interval, Refused
from sim.systems.runs import Tested


@dataclass(frozen=True)
class Line:
    """Points (place, value), rising, and which law they speak for. at: where every law is asked."""

    name: str
    points: tuple[tuple[float, float], ...]
    at: float

    @cached_property
    def choice(self) -> Choice:
        """The laws, best first where the points can tell."""
        return choose([x for x, _ in self.points], [y for _, y in self.points])

    @cached_property
    def predictions(self) -> dict[str, Interval | Refused]:
        """What each law says of a further run at `at`."""
        return self.choice.predictions(self.at)


def lines(one: Tested) -> list[Line]:
    """The lines of a system, what was published last; without those whose runs are missing."""
    growth = one.system.growth
    if growth is None:
        return []
    found = []
    for name, places in growth.lines.items():
        values = [(at, one.sides[variant].metrics.get(growth.figure)) for variant, at in places.items() if variant in one.sides]
        points = tuple(sorted((at, value) for at, value in values if value is not None))
        if points:
            found.append(Line(name, points, growth.predict))
    if growth.published:
        found.append(Line("the article's points", tuple(sorted(growth.published.items())), growth.predict))
    return found
