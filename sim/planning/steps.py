"""One step from a value of a knob to either side, within its range."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from sim.sweeps.design import Point
from sim.sweeps.values import Range, Space, Values

STEP: Final = 0.1
"""Of the range, in its own scale."""
_NUMBER: Final = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_MOST_OTHERS: Final = 4


def around(knobs: Mapping[str, Space], point: Point, step: float = STEP) -> list[tuple[str, Point]]:
    """(knob, setting) that differ from `point` in that knob by one step; for a list in order its neighbours, else its others."""
    return [(path, {**point, path: value}) for path, space in knobs.items() for value in beside(space, point[path], step)]


def beside(space: Space, value: Any, step: float) -> list[Any]:
    """The values one step below and above, as far as there are."""
    if isinstance(space, Values):
        at = space.values.index(value)
        if all(isinstance(one, int | float) for one in space.values):
            ordered = sorted(space.values)
            at = ordered.index(value)
            return [ordered[place] for place in (at - 1, at + 1) if 0 <= place < len(ordered)]
        return [one for place, one in enumerate(space.values) if place != at][:_MOST_OTHERS]
    here = share(space, value)
    found = []
    for sign in (-1, 1):
        for reach in (step, 2 * step, 4 * step, 1.0):  # whole numbers may need more than one
            other = space.at(min(max(here + sign * reach, 0.0), 1.0))
            if other != value:
                found.append(other)
                break
    return found


def share(space: Range, value: Any) -> float:
    """Where a value lies in a range, from 0 to 1 in its own scale."""
    number = _NUMBER.match(str(value))
    if number is None:
        return 0.5
    at = float(number[0])
    if space.kind in ("log", "logint"):
        return (math.log(max(at, space.low)) - math.log(space.low)) / (math.log(space.high) - math.log(space.low))
    return (at - space.low) / (space.high - space.low)
