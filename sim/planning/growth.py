"""How a figure grows with a knob or with time: the law behind the runs, what it says further out, when a level is reached.

with a knob   each run is a point. Where every point has worlds of its own the points are independent: laws are fitted to all runs
              and told apart by AICc (`sim.analysis.growth`). On common random numbers they are not: the runs of one world lie on
              one curve. Then the law is chosen on the means, and every interval is the wider of two: of the fit to the means, and
              of the fits to each world's own curve across worlds
with time     the points of one curve inherit each other's errors, so no criterion may count them: each world's curve is fitted to
              its first two thirds, and the law that foretells the last third best is chosen. Intervals are across worlds

Further out than the points an interval supposes that the law goes on: it says how much chance there is in it, nothing more. So
what the other laws say that the points do not exclude stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import stats

from sim.analysis import Choice, Fit, Interval, Refused, choose, crossing, fit
from sim.analysis.growth import Errors
from sim.analysis.laws import THROUGH_ORIGIN
from sim.analysis.outcome import LEVEL, Floats
from sim.analysis.replications import FEWEST
from sim.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TIME: Final = "time"
FAR: Final = 3.0
"""From so many times the last point on an extrapolation is called far."""
_KEPT: Final = 24
"""Points of a curve in time that are fitted."""
_SHOWN_OF_TIME: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Said:
    """What a law says at x. law: of the curve itself; run: where one further run falls."""

    name: str
    x: float
    estimate: float
    law: Interval | Refused
    run: Interval | Refused
    far: bool


@dataclass(frozen=True, slots=True)
class Growth:
    """x, y, world: shape (n,), the points; fits: laws in order of preference, fitted to all (on common worlds: to the means);
    worlds: for each law its fits to each world's curve, empty where points are independent."""

    figure: str
    against: str
    variant: str
    x: Floats
    y: Floats
    world: Floats
    common: bool
    level: float
    fits: tuple[Fit, ...]
    best: Fit | None
    rivals: tuple[str, ...]
    statement: str
    worlds: dict[str, tuple[Fit, ...]]

    def parameters(self, law: str) -> dict[str, Interval | Refused]:
        """The parameters of a law with their intervals."""
        one = self._fit(law)
        found = {name: one.interval(name, self.level) for name in one.law.parameters}
        own = self.worlds.get(law, ())
        if not own:
            return found
        across = {name: _across([each.parameters[name] for each in own], self.level) for name in found}
        if self.against == TIME:
            return across
        return {name: _wider(found[name], across[name]) for name in found}

    def at(self, x: float, law: str) -> Said:
        """What a law says at x."""
        one, own = self._fit(law), self.worlds.get(law, ())
        estimate = float(one.predict([x])[0])
        curve, run = _band(one, x, "law", self.level), _band(one, x, "observation", self.level)
        if own:
            across, further = _worlds_at(own, x, self.level)
            curve = across if self.against == TIME else _wider(curve, across)
            run = further if isinstance(further, Interval) else Refused(further.reason, estimate)
        return Said(law, x, estimate, curve, run, x > FAR * float(self.x.max()))

    def reaches(self, level: float, law: str, furthest: float) -> Interval | Refused:
        """Where a law reaches a level of the figure, at most at x = `furthest`."""
        one, own = self._fit(law), self.worlds.get(law, ())
        found = crossing(one, level, furthest, self.level)
        if not own:
            return found
        crossed = [_crossed(each, level, furthest) for each in own]
        if any(math.isinf(value) for value in crossed):
            return Refused(
                f"{law} does not reach {level:g} before {furthest:g} in {sum(map(math.isinf, crossed))} of {len(own)} worlds"
            )
        across = _across(crossed, self.level, logarithmic=True)
        return across if self.against == TIME else _wider(found, across)

    def _fit(self, law: str) -> Fit:
        return next(one for one in self.fits if one.law.name == law)

    def table(self, at: Sequence[float] = ()) -> pd.DataFrame:
        """A row a law: criterion, parameters, and what it says at each x of `at`."""
        from sim.planning.growth_report import table

        return table(self, at)

    def plot(self, at: Sequence[float] = ()) -> Figure:
        """The points, the law with its bands, the laws that are not excluded; as far as `at` goes."""
        from sim.planning.growth_plot import draw

        return draw([self], at)


def growth(
    frame: pd.DataFrame, figure: str, against: str, variant: str = "", laws: Iterable[str] = THROUGH_ORIGIN,
    level: float = LEVEL,
) -> Growth:  # fmt: skip
    """The growth of a column against another, of a frame with a row a run; runs of one `seed` (or `replication`) share a world.

    Raises InputError where there are too few points, or one is absent.
    """
    x, y = _numbers(frame, against), _numbers(frame, figure)
    if len(np.unique(x)) < 2:
        raise InputError(f"{against}: {len(np.unique(x))} different values; a law of growth needs two, a choice between laws five")
    world = frame["seed"] if "seed" in frame else frame["replication"] if "replication" in frame else np.arange(len(frame))
    worlds = np.asarray(world, dtype=np.float64)
    counted = frame.groupby(worlds)[against].nunique() if len(frame) else None
    common = counted is not None and bool((counted > 1).any())
    errors: Errors = "relative" if (y > 0).all() else "absolute"
    if not common:
        found = choose(x, y, laws, errors)
        return _made(figure, against, variant, x, y, worlds, False, level, found, {})
    places = np.unique(x)
    means = np.array([y[x == place].mean() for place in places])
    found = choose(places, means, laws, errors)
    own: dict[str, tuple[Fit, ...]] = {}
    for one in found.fits:
        fits = [fit(x[worlds == each], y[worlds == each], one.law.name, errors) for each in np.unique(worlds)]
        own[one.law.name] = tuple(each for each in fits if isinstance(each, Fit))
    return _made(figure, against, variant, x, y, worlds, True, level, found, own)


def over_time(
    curves: Sequence[tuple[Floats, Floats]],
    figure: str,
    variant: str = "",
    laws: Iterable[str] = THROUGH_ORIGIN,
    level: float = LEVEL,
) -> Growth:
    """The growth of a figure with time. curves: (seconds, values) of each world, times rising. Raises InputError."""
    kept = [_thinned(*curve) for curve in curves]
    if not kept or min(len(times) for times, _ in kept) < 8:
        raise InputError(
            f"{figure}: fewer than 8 points above zero in the series of a run; keep more (--series) or simulate longer"
        )
    x, y = (np.concatenate([curve[part] for curve in kept]) for part in (0, 1))
    world = np.concatenate([np.full(len(times), float(place)) for place, (times, _) in enumerate(kept)])
    errors: dict[str, Floats] = {}
    own: dict[str, tuple[Fit, ...]] = {}
    for name in laws:
        fits = [found for times, values in kept if isinstance(found := fit(times, values, name), Fit)]
        missed = [_foretold(times, values, name) for times, values in kept]
        if len(fits) == len(kept) and None not in missed:
            own[name], errors[name] = tuple(fits), np.array(missed, dtype=np.float64)
    if not own:
        raise InputError(f"{figure}: no law follows the curves")
    order = sorted(own, key=lambda name: (round(float(errors[name].mean()), 12), len(own[name][0].theta)))
    best = order[0]
    rivals = tuple(name for name in order[1:] if _close(errors[best], errors[name]))
    whole = {name: _whole(x, y, name) for name in order}
    fits_ = tuple(whole[name] for name in order)
    misses = f"misses the last third by {float(errors[best].mean()):.1%} when fitted to the first two"
    statement = f"{best} {misses}; no criterion counts points of one curve" + (
        f"; {', '.join(rivals)} not worse for certain" if rivals else "; the others miss by more"
    )
    return Growth(figure, TIME, variant, x, y, world, True, level, fits_, whole[best], rivals, statement, own)


def _made(
    figure: str, against: str, variant: str, x: Floats, y: Floats, world: Floats, common: bool, level: float, found: Choice,
    own: dict[str, tuple[Fit, ...]],
) -> Growth:  # fmt: skip
    if not found.fits:
        raise InputError(f"{figure}: no law can be fitted to {len(np.unique(x))} different values of {against}")
    return Growth(
        figure, against, variant, x, y, world, common, level, found.fits, found.best, found.rivals, found.statement, own
    )  # fmt: skip


def _numbers(frame: pd.DataFrame, column: str) -> Floats:
    if column not in frame:
        raise InputError(f"{column} is not a column; there are {', '.join(map(str, frame.columns))}")
    values = frame[column].map(_number).to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{column}: {int((~np.isfinite(values)).sum())} of {len(values)} runs have no number there")
    found: Floats = values
    return found


def _number(value: Any) -> float:
    """A number, or the one that a text with a unit begins with."""
    if isinstance(value, str):
        digits = value.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZµ%/ ")
        try:
            return float(digits)
        except ValueError:
            return math.nan
    return math.nan if value is None else float(value)


def _band(one: Fit, x: float, of: Any, level: float) -> Interval | Refused:
    band = one.band([x], level, of=of)
    if isinstance(band, Refused):
        return Refused(band.reason, float(one.predict([x])[0]), len(one.x))
    ends = float(band.estimate[0]), float(band.low[0]), float(band.high[0])
    return Interval(*ends, len(one.x), f"delta method, {one.freedom} left", level)


def _across(values: Sequence[float], level: float, logarithmic: bool = False) -> Interval | Refused:
    """The mean of one value a world."""
    n = len(values)
    if n < FEWEST:
        return Refused(f"{n} worlds are too few: at least {FEWEST} are needed", float(np.mean(values)) if n else None, n)
    if logarithmic and min(values) <= 0:
        return Refused("a value is not above zero", None, n)
    at = np.log(values) if logarithmic else np.asarray(values)
    arm = float(stats.t.ppf((1 + level) / 2, n - 1) * at.std(ddof=1) / math.sqrt(n))
    ends = [float(at.mean()) + sign * arm for sign in (0, -1, 1)]
    middle, low, high = (math.exp(min(end, 700.0)) for end in ends) if logarithmic else ends
    return Interval(middle, low, high, n, f"t over {n} worlds", level)


def _worlds_at(own: Sequence[Fit], x: float, level: float) -> tuple[Interval | Refused, Interval | Refused]:
    """The law at x across worlds; and a further run: another world, and its scatter around its own curve."""
    values = np.array([float(one.predict([x])[0]) for one in own])
    n = len(values)
    relative = own[0].errors == "relative" and bool((values > 0).all()) if n else False
    law = _across(values.tolist(), level, relative)
    if isinstance(law, Refused):
        return law, law
    scatter = [one.squares / one.freedom for one in own if one.freedom > 0]
    within = math.fsum(scatter) / len(scatter) if scatter else 0.0
    at = np.log(values) if relative else values
    arm = float(stats.t.ppf((1 + level) / 2, n - 1)) * math.sqrt(float(at.var(ddof=1)) * (1 + 1 / n) + within)
    middle = float(at.mean())
    ends = [math.exp(min(end, 700.0)) if relative else end for end in (middle, middle - arm, middle + arm)]
    return law, Interval(ends[0], ends[1], ends[2], n, f"prediction from {n} worlds", level)


def _wider(one: Interval | Refused, other: Interval | Refused) -> Interval | Refused:
    """The one that promises less, around the first one's estimate; the other where one is refused."""
    if isinstance(one, Refused):
        return other
    if isinstance(other, Refused):
        return one
    if other.high - other.low <= one.high - one.low:
        return one
    return Interval(one.estimate, min(other.low, one.estimate), max(other.high, one.estimate), other.n_eff, other.method, one.level)


def _crossed(one: Fit, level: float, furthest: float) -> float:
    grid = np.geomspace(float(one.x.min()), furthest, 4000) if one.x.min() > 0 else np.linspace(float(one.x.min()), furthest, 4000)
    over = np.flatnonzero(one.predict(grid) >= level)
    return float(grid[over[0]]) if len(over) else math.inf


def _thinned(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Evenly spaced points above zero of a curve."""
    good = np.flatnonzero((values > 0) & (times > 0) & np.isfinite(values))
    chosen = good[np.unique(np.linspace(0, len(good) - 1, min(_KEPT, len(good))).round().astype(np.int64))] if len(good) else good
    return times[chosen], values[chosen]


def _foretold(times: Floats, values: Floats, law: str) -> float | None:
    """By how much a law that was fitted to the first two thirds misses the last one: root mean square, as a share."""
    known = max(round(len(times) * (1 - _SHOWN_OF_TIME)), 4)
    found = fit(times[:known], values[:known], law)
    if isinstance(found, Refused):
        return None
    said = found.predict(times[known:])
    if not (np.isfinite(said).all() and (said > 0).all()):
        return 1e3
    return float(math.sqrt(float(np.mean(np.log(said / values[known:]) ** 2))))


def _close(best: Floats, other: Floats) -> bool:
    """Whether a law does not miss by more for certain: the paired difference over worlds may be zero."""
    difference = other - best
    if len(difference) < FEWEST:
        return float(other.mean()) < 1.2 * float(best.mean()) + 1e-3
    arm = float(stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / math.sqrt(len(difference)))
    return float(difference.mean()) - arm <= 0


def _whole(x: Floats, y: Floats, law: str) -> Fit:
    found = fit(x, y, law)
    assert isinstance(found, Fit)  # each world's own was
    return found
