"""Points of a study: every combination, a sample of the space, or the points that were named.

Latin hypercube and Sobol points come from `scipy.stats.qmc`, scrambled by the study's seed: the same seed, the same points.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import numpy as np

from sim.errors import InputError
from sim.scenario.refusal import shown
from sim.sweeps.values import Range, Space, Values

Design = Literal["grid", "lhs", "sobol", "points"]
DESIGNS: Final[tuple[str, ...]] = get_args(Design)
Point = dict[str, Any]
"""Dotted path to value."""
_MOST: Final = 1_000_000


def points(design: Design, knobs: Mapping[str, Space], samples: int | None, seed: int) -> list[Point]:
    """The points of a design over the knobs, in a fixed order. Raises InputError."""
    if design in ("lhs", "sobol"):
        return _sampled(design, knobs, samples, seed)
    if samples is not None:
        raise InputError(f'samples: "{samples}" is not allowed with design {design}; it counts the points of lhs and sobol')
    listed = {path: _values(path, space) for path, space in knobs.items()}
    return _together(listed) if design == "points" else _grid(listed)


def _values(path: str, space: Space) -> tuple[Any, ...]:
    if isinstance(space, Values):
        return space.values
    counted = f"{space.text[:-1]}, 5)"
    raise InputError(f"{path}: {shown(space.text)} has no count; write {counted}, or sample it with design lhs or sobol")


def _grid(listed: Mapping[str, tuple[Any, ...]]) -> list[Point]:
    count = math.prod(len(values) for values in listed.values())
    if count > _MOST:
        raise InputError(f"over: {count:,} combinations are more than {_MOST:,}; sample them with design lhs or sobol")
    return [dict(zip(listed, chosen, strict=True)) for chosen in itertools.product(*listed.values())]


def _together(listed: Mapping[str, tuple[Any, ...]]) -> list[Point]:
    """The first values of all knobs are the first point, the second ones the second."""
    lengths = {path: len(values) for path, values in listed.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{path} has {count}" for path, count in lengths.items())
        raise InputError(f"over: design points takes one value of each knob for a point, so all need the same number; {said}")
    return [dict(zip(listed, chosen, strict=True)) for chosen in zip(*listed.values(), strict=True)]


def _sampled(design: Design, knobs: Mapping[str, Space], samples: int | None, seed: int) -> list[Point]:
    if samples is None:
        raise InputError(f"samples: missing; design {design} needs the number of points, such as 16")
    if not 1 <= samples <= _MOST:
        raise InputError(f'samples: "{samples}" is not a number of points; a whole number from 1 to {_MOST:,}')
    if all(isinstance(space, Values) and len(space.values) == 1 for space in knobs.values()):
        raise InputError(f"over: there is nothing to sample with design {design}; give a range such as log(1, 100)")
    shares = _sobol(len(knobs), samples, seed) if design == "sobol" else _latin(len(knobs), samples, seed)
    return [{path: space.at(float(share)) for (path, space), share in zip(knobs.items(), row, strict=True)} for row in shares]


def _latin(knobs: int, samples: int, seed: int) -> np.ndarray[Any, Any]:
    from scipy.stats import qmc

    found: np.ndarray[Any, Any] = qmc.LatinHypercube(knobs, seed=np.random.default_rng(seed)).random(samples)
    return found


def _sobol(knobs: int, samples: int, seed: int) -> np.ndarray[Any, Any]:
    from scipy.stats import qmc

    if samples & (samples - 1):
        below = 1 << (samples.bit_length() - 1)
        raise InputError(f'samples: "{samples}" is not a power of two, where Sobol points are balanced; {below} or {2 * below}')
    found: np.ndarray[Any, Any] = qmc.Sobol(knobs, scramble=True, seed=np.random.default_rng(seed)).random(samples)
    return found


__all__ = ["DESIGNS", "Design", "Point", "Range", "points"]
