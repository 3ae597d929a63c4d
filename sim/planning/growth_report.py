"""A growth as a table, as plain data, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from sim.analysis import Interval, Reached, Refused
from sim.planning.aims import unit
from sim.planning.growth import TIME, Growth, Said
from sim.planning.report import finite, value

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1
_MEANINGLESS = 1e3


def table(found: Growth, at: Sequence[float] = ()) -> pd.DataFrame:
    """See `Growth.table`."""
    rows = []
    for one in found.fits:
        row: dict[str, Any] = {
            "law": one.law.name,
            "aicc": None if found.against == TIME else one.aicc,
            "is": _standing(found, one.law.name),
        }
        row |= {f"parameter {name}": each for name, each in one.parameters.items()}
        for x in at:
            said = found.at(x, one.law.name)
            row |= {f"at {x:g}": said.estimate, f"at {x:g} low": _end(said.run, "low"), f"at {x:g} high": _end(said.run, "high")}
        rows.append(row)
    return pd.DataFrame(rows)


def _end(given: Interval | Refused, name: str) -> float | None:
    return None if isinstance(given, Refused) else float(getattr(given, name))


def _standing(found: Growth, law: str) -> str:
    if found.best is not None and found.best.law.name == law:
        return "preferred" if not found.rivals else "best, not decided"
    if law in found.rivals:
        return "not excluded"
    one = next(each for each in found.fits if each.law.name == law)
    return "not judged" if found.against != TIME and one.aicc is None else "worse"


def document(
    growths: Sequence[Growth], quota: dict[str, Reached], at: Sequence[float], reach: float | None, furthest: float | None
) -> dict[str, Any]:
    """The object that `etcdsim growth --json` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "growths": [_growth(one, at, reach, furthest) for one in growths],
        "seconds_to_quota": {name: _reached(one) for name, one in quota.items()},
    }


def _growth(found: Growth, at: Sequence[float], reach: float | None, furthest: float | None) -> dict[str, Any]:
    return {
        "figure": found.figure,
        "against": found.against,
        "variant": found.variant,
        "points": len(found.x),
        "common_random_numbers": found.common,
        "confidence": found.level,
        "best": None if found.best is None else found.best.law.name,
        "not_excluded": list(found.rivals),
        "statement": found.statement,
        "laws": [
            {"law": one.law.name, "aicc": None if found.against == TIME else finite(one.aicc),
             "parameters": {name: _plain(given) for name, given in found.parameters(one.law.name).items()},
             "at": [_said(found.at(x, one.law.name)) for x in at],
             "reaches": None if reach is None else _plain(found.reaches(reach, one.law.name, furthest or _furthest(found)))}
            for one in found.fits
        ],
    }  # fmt: skip


def _furthest(found: Growth) -> float:
    return 100 * float(found.x.max())


def _plain(given: Interval | Refused) -> dict[str, Any]:
    if isinstance(given, Refused):
        return {"estimate": finite(given.estimate), "low": None, "high": None, "method": "", "why": given.reason}
    return {
        "estimate": finite(given.estimate),
        "low": finite(given.low),
        "high": finite(given.high),
        "method": given.method,
        "why": "",
    }


def _said(one: Said) -> dict[str, Any]:
    return {"x": one.x, "estimate": finite(one.estimate), "law": _plain(one.law), "run": _plain(one.run), "far": one.far}


def _reached(one: Reached) -> dict[str, Any]:
    return {
        "worlds": len(one.times),
        "never": int((one.times == float("inf")).sum()),
        "extrapolated": one.extrapolated,
        "median": _plain(one.median),
        "mean": _plain(one.mean),
        "next": _plain(one.next),
    }


def show(
    growths: Sequence[Growth], quota: dict[str, Reached], at: Sequence[float], reach: float | None, furthest: float | None,
    console: Console,
) -> None:  # fmt: skip
    """Everything that `etcdsim growth` says on stdout."""
    for place, found in enumerate(growths):
        if place:
            console.print()
        name = f", {found.variant}" if found.variant else ""
        console.print(f"{found.figure} against {found.against}{name}: {_points(found)}", soft_wrap=True)
        console.print(found.statement, soft_wrap=True)
        console.print()
        console.print(_laws(found))
        for x in at:
            _at(found, x, console)
        if reach is not None:
            _reach(found, reach, furthest or _furthest(found), console)
        if (one := quota.get(found.variant)) is not None:
            console.print(f"the database reaches its quota: {_when(one)}", soft_wrap=True)


def _points(found: Growth) -> str:
    worlds = len(set(found.world.tolist()))
    if found.against == TIME:
        return f"{worlds} curves, one a world"
    places = len(set(found.x.tolist()))
    return f"{len(found.x)} runs at {places} values" + (f", in {worlds} worlds common to all" if found.common else "")


def _laws(found: Growth) -> Any:
    from rich.text import Text

    from sim.report.figure_table import plain_table

    shown = plain_table()
    shown.add_column("law", no_wrap=True)
    if found.against != TIME:
        shown.add_column("AICc", justify="right")
    shown.add_column("parameters", overflow="fold")
    shown.add_column("is")
    for one in found.fits:
        parameters = "; ".join(f"{name} {_parameter(given)}" for name, given in found.parameters(one.law.name).items())
        criterion = [] if found.against == TIME else ["-" if one.aicc is None else f"{one.aicc:.1f}"]
        shown.add_row(*map(Text, (one.law.name, *criterion, parameters, _standing(found, one.law.name))))
    return shown


def _parameter(given: Interval | Refused) -> str:
    if isinstance(given, Refused):
        return "-" if given.estimate is None else f"{given.estimate:.4g}"
    if max(abs(given.low), abs(given.high)) > _MEANINGLESS * abs(given.estimate):
        return f"{given.estimate:.4g} (not determined)"
    return f"{given.estimate:.4g} ({given.low:.3g} .. {given.high:.3g})"


def _of_interest(found: Growth) -> list[str]:
    """The best law and those that are not excluded; where nothing can be chosen, all with a band."""
    if found.best is not None:
        return [found.best.law.name, *found.rivals]
    return [one.law.name for one in found.fits if one.sigma is not None]


def _at(found: Growth, x: float, console: Console) -> None:
    of = unit(found.figure)
    for law in _of_interest(found):
        said = found.at(x, law)
        if isinstance(said.run, Refused):
            band = said.run.reason
        elif said.run.high > _MEANINGLESS * max(said.run.low, 1e-300):
            band = "the band of a further run spans more than a thousandfold"
        else:
            band = f"{value(max(said.run.low, 0.0), of)} .. {value(said.run.high, of)} for a further run"
        console.print(f"at {_x(found, x)}, {law}: {value(said.estimate, of)} ({band})", soft_wrap=True)
    if x > 3 * float(found.x.max()):
        far = x / float(found.x.max())
        console.print(f"  {far:.3g} times beyond the last point: right only where the law goes on")


def _x(found: Growth, x: float) -> str:
    return value(x, "seconds") if found.against == TIME else f"{x:g}"


def _reach(found: Growth, reach: float, furthest: float, console: Console) -> None:
    of = unit(found.figure)
    for law in _of_interest(found):
        given = found.reaches(reach, law, furthest)
        if isinstance(given, Refused):
            said = given.reason if given.estimate is None else f"{_x(found, given.estimate)}; {given.reason}"
        else:
            ends = (_x(found, float(f"{end:.4g}")) for end in (given.estimate, given.low, given.high))
            said = "{} ({} .. {})".format(*ends)
        console.print(f"{value(reach, of)} is reached at, {law}: {said}", soft_wrap=True)


def _when(one: Reached) -> str:
    never = int((one.times == float("inf")).sum())
    if never == len(one.times):
        return f"never, in none of {never} worlds"
    parts = []
    if isinstance(one.mean, Interval):
        parts.append(f"{value(one.mean.estimate, 'seconds')} on average ({_between(one.mean)})")
    if isinstance(one.median, Interval):
        parts.append(f"median {value(one.median.estimate, 'seconds')} ({_between(one.median)})")
    if isinstance(one.next, Interval):
        parts.append(f"a further world {_between(one.next)}")
    if not parts:
        assert isinstance(one.mean, Refused)
        estimate = one.mean.estimate
        parts.append(f"{value(estimate, 'seconds') if estimate is not None else 'in some worlds never'}; {one.mean.reason}")
    return "; ".join([*parts, f"{one.extrapolated} of {len(one.times)} extrapolated"])


def _between(given: Interval) -> str:
    return f"{value(max(given.low, 0.0), 'seconds')} .. {value(given.high, 'seconds')}"
