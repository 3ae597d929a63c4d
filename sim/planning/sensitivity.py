"""Which knobs matter: Morris screening or Sobol indices over any scenario fields, and a tornado around the scenario as it is.

morris   trajectories through the whole space, one knob at a time (Morris 1991; Campolongo, Cariboni and Saltelli 2007). mu* is
         the mean size of the figure's change when the knob crosses its range, in the figure's unit; mu is the same with its sign;
         sigma is large where the change depends on where the others stand. n + 1 settings a trajectory for n knobs: the way to
         sort out twelve
sobol    shares of the figure's variance over the space (Saltelli 2010, Jansen 1999): first order, of the knob alone; total, with
         everything that it shares with others. n + 2 settings a sample, and samples by the hundred

Each setting is run on the same worlds and the mean over them is analysed, so what a knob does is told from what chance does by
pairs: a knob whose change alters no figure of any run by one bit has no effect; one whose mean size is no larger than chance alone
makes the pairs differ is not told from chance. SALib makes the designs and the indices; their intervals are its bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from sim.analysis import Interval, Refused, paired
from sim.analysis.objectives import observations
from sim.analysis.outcome import Floats
from sim.errors import InputError
from sim.planning.bench import Answer, Ask, Bench, Spent
from sim.planning.report import setting
from sim.scenario.refusal import shown
from sim.sweeps.design import Point
from sim.sweeps.values import Space

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Method = Literal["morris", "sobol"]
METHODS: Final = ("morris", "sobol")
Word = Literal["matters", "not told from chance", "no effect"]
LEVELS: Final = 4
_RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True)
class Effect:
    """What a knob does to a figure. size: mu* in the figure's unit, or the total Sobol index; low, high: its interval; first: mu,
    or the first-order index, with its interval (none for mu); sigma: of Morris; chance: the size that chance alone would show, None
    with a single replication."""

    knob: str
    figure: str
    size: float
    low: float
    high: float
    first: float
    first_low: float | None
    first_high: float | None
    sigma: float | None
    chance: float | None
    word: Word


@dataclass(frozen=True, slots=True)
class Swing:
    """The tornado: a figure's change from the scenario as it is, with this knob alone at one end of its range."""

    knob: str
    figure: str
    value: Any
    end: Literal["low", "high"]
    change: Interval | Refused


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Effects by figure, the largest first; swings around the scenario as it is, whose figures are in `base`."""

    name: str
    variant: str
    method: Method
    samples: int
    replications: int
    seed: int
    level: float
    knobs: dict[str, Space]
    figures: tuple[str, ...]
    effects: tuple[Effect, ...]
    swings: tuple[Swing, ...]
    base: dict[str, float | None]
    spent: Spent

    def of(self, figure: str) -> list[Effect]:
        """The effects on a figure, the largest first."""
        return [one for one in self.effects if one.figure == figure]

    @property
    def without_effect(self) -> list[str]:
        """The knobs that change nothing at all."""
        return [knob for knob in self.knobs if all(one.word == "no effect" for one in self.effects if one.knob == knob)]

    def table(self) -> pd.DataFrame:
        """A row a figure and knob."""
        from sim.planning.sensitivity_report import table

        return table(self)

    def plot(self) -> Figure:
        """For each figure the tornado, and the indices with their intervals."""
        from sim.planning.sensitivity_plot import draw

        return draw(self)

    def to_json(self) -> dict[str, Any]:
        """The object that `etcdsim sensitivity --json` prints."""
        from sim.planning.sensitivity_report import document

        return document(self)


def shares(method: Method, knobs: int, samples: int, seed: int) -> Floats:
    """The design: a row a setting, a column a knob, from 0 to 1. Sobol takes a power of two."""
    problem = {"num_vars": knobs, "names": [str(at) for at in range(knobs)], "bounds": [[0.0, 1.0]] * knobs}
    if method == "morris":
        from SALib.sample import morris

        found = morris.sample(problem, samples, num_levels=LEVELS, seed=seed)
    else:
        from SALib.sample import sobol

        found = sobol.sample(problem, samples, calc_second_order=False, seed=seed)
    return np.asarray(found, dtype=np.float64)


def sensitivity(
    bench: Bench, knobs: Mapping[str, Space], figures: Sequence[str], method: Method = "morris", samples: int = 8,
    replications: int = 3, level: float = 0.95,
) -> Sensitivity:  # fmt: skip
    """Run the design and the tornado. Raises InputError for settings that cannot be, and figures that some runs do not have."""
    design = shares(method, len(knobs), samples, bench.seed)
    points = [{path: space.at(float(share)) for (path, space), share in zip(knobs.items(), row, strict=True)} for row in design]
    ends: list[tuple[str, Literal["low", "high"], Point]] = []
    for path, space in knobs.items():
        ends += [(path, "low", {path: space.at(0.0)}), (path, "high", {path: space.at(1.0)})]
    answers = _answers(bench, [*points, {}, *(point for _, _, point in ends)], replications)
    runs, here, swung = answers[: len(points)], answers[len(points)], answers[len(points) + 1 :]
    pairs = [_pairs(method, design, place) for place in range(len(knobs))]
    idle = [all(runs[one].metrics == runs[other].metrics for one, other, _ in mine) for mine in pairs]
    effects: list[Effect] = []
    swings: list[Swing] = []
    for figure in figures:
        values = np.array([_values(figure, answer, point) for answer, point in zip(runs, points, strict=True)])
        found = _effects(method, design, values, list(knobs), figure, pairs, idle, level, bench.seed)
        effects += sorted(found, key=lambda one: (-one.size, one.knob))
        for (path, end, point), answer in zip(ends, swung, strict=True):
            swings.append(Swing(path, figure, point[path], end, _change(figure, here, answer, level)))
    base = {figure: _mean(figure, here) for figure in figures}
    return Sensitivity(
        bench.name, bench.variant, method, samples, replications, bench.seed, level, dict(knobs), tuple(figures), tuple(effects),
        tuple(swings), base, bench.spent,
    )  # fmt: skip


def _answers(bench: Bench, points: Sequence[Point], replications: int) -> list[Answer]:
    different = {setting(point): point for point in points}
    found = dict(zip(different, bench.answer([Ask(point, 0, replications) for point in different.values()]), strict=True))
    for name, answer in found.items():
        if answer.problem:
            raise InputError(f"{name or 'the scenario as it is'}: {answer.problem}; narrow the range")
    return [found[setting(point)] for point in points]


def _values(figure: str, answer: Answer, point: Point) -> list[float]:
    values = observations(figure, zip(answer.metrics, answer.status, strict=True))
    lost = [value for value in values if not math.isfinite(value)]
    if lost:
        what = "never comes" if math.isinf(lost[0]) else "has no value"
        raise InputError(
            f"figure: {shown(figure)} {what} in some runs, such as with {setting(point)}; choose one that all runs have"
        )
    return values


def _mean(figure: str, answer: Answer) -> float | None:
    values = observations(figure, zip(answer.metrics, answer.status, strict=True))
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else None


def _change(figure: str, here: Answer, there: Answer, level: float) -> Interval | Refused:
    before, after = (observations(figure, zip(one.metrics, one.status, strict=True)) for one in (here, there))
    if not all(map(math.isfinite, (*before, *after))):
        return Refused("some runs have no value", None, len(before))
    return paired(before, after, level)


def _pairs(method: Method, design: Floats, knob: int) -> list[tuple[int, int, float]]:
    """Rows that differ in this knob only, and by how much of its range."""
    wide = design.shape[1]
    found = []
    if method == "morris":
        for start in range(0, len(design), wide + 1):
            for row in range(start, start + wide):
                step = design[row + 1] - design[row]
                if step[knob]:
                    found.append((row, row + 1, float(step[knob])))
    else:
        for start in range(0, len(design), wide + 2):
            row = start + 1 + knob
            found.append((start, row, float(design[row, knob] - design[start, knob]) or 1.0))
    return found


def _effects(
    method: Method, design: Floats, values: Floats, knobs: Sequence[str], figure: str,
    pairs: Sequence[list[tuple[int, int, float]]], idle: Sequence[bool], level: float, seed: int,
) -> list[Effect]:  # fmt: skip
    """values: shape (settings, replications)."""
    means = values.mean(axis=1)
    problem = {"num_vars": len(knobs), "names": list(knobs), "bounds": [[0.0, 1.0]] * len(knobs)}
    flat = bool(np.ptp(means) == 0)
    if method == "morris":
        from SALib.analyze import morris

        found = morris.analyze(problem, design, means, conf_level=level, num_levels=LEVELS, num_resamples=_RESAMPLES, seed=seed)
        size, arm, first = found["mu_star"], found["mu_star_conf"], found["mu"]
        first_arm, sigma = None, found["sigma"]
    else:
        from SALib.analyze import sobol

        zero = np.zeros(len(knobs))
        found = (
            {"ST": zero, "ST_conf": zero, "S1": zero, "S1_conf": zero} if flat
            else sobol.analyze(problem, means, calc_second_order=False, conf_level=level, num_resamples=_RESAMPLES, seed=seed)
        )  # fmt: skip
        size, arm, first, first_arm, sigma = found["ST"], found["ST_conf"], found["S1"], found["S1_conf"], None
    effects = []
    for at, knob in enumerate(knobs):
        chance = _chance(method, values, pairs[at], float(means.var()))
        low, high = max(float(size[at] - arm[at]), 0.0), float(size[at] + arm[at])
        same = all((values[one] == values[other]).all() for one, other, _ in pairs[at])
        word: Word = "no effect" if idle[at] or same else "matters" if low > (chance or 0.0) else "not told from chance"
        arms: tuple[float | None, float | None] = (None, None)
        if first_arm is not None:
            arms = float(first[at] - first_arm[at]), float(first[at] + first_arm[at])
        effects.append(
            Effect(knob, figure, float(size[at]), low, high, float(first[at]), arms[0], arms[1],
                   None if sigma is None else float(sigma[at]), chance, word)
        )  # fmt: skip
    return effects


def _chance(method: Method, values: Floats, pairs: Sequence[tuple[int, int, float]], variance: float) -> float | None:
    """The mean size that the scatter of the pairs' differences over the worlds would show by itself; None with one world."""
    worlds = values.shape[1]
    if worlds < 2:
        return None
    errors = np.array([(values[other] - values[one]).std(ddof=1) / math.sqrt(worlds) for one, other, _ in pairs])
    if method == "morris":
        steps = np.array([abs(step) for _, _, step in pairs])
        return float(math.sqrt(((errors / steps) ** 2).mean()) * math.sqrt(2 / math.pi))
    return float((errors**2).mean() / 2 / variance) if variance else 0.0  # Jansen: half the mean square
