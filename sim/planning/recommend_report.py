"""A recommendation as a table, as plain data, and in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from sim.analysis import Interval, Refused
from sim.planning.aims import unit
from sim.planning.recommend import Candidate, Recommendation, Step
from sim.planning.report import bound, estimate, finite, margin, plain, setting, short, value
from sim.planning.search import Tried

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1
_SHOWN = 5


def table(found: Recommendation) -> pd.DataFrame:
    """See `Recommendation.table`."""
    best = {id(one) for one in found.front}
    rows = [
        {**one.point, **one.means, "margin": _margin(one), "keeps_all": one.feasible, "front": id(one) in best,
         "problem": one.problem}
        for one in found.tried
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _margin(one: Tried) -> float:
    return math.exp(min(one.slack, 700.0))


def document(found: Recommendation) -> dict[str, Any]:
    """See `Recommendation.to_json`."""
    study = found.study
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.name,
        "scenario": str(study.scenario.name),
        "variant": study.variant,
        "outcome": found.outcome,
        "recommended": None if found.chosen is None else _candidate(found.chosen, found),
        "now": _candidate(found.now, found),
        "binds": [goal.name for goal in found.binds] if found.chosen is None else _tightest(found.chosen),
        "requirements": [
            {"objective": one.goal.name, "figure": one.goal.figure, "bound": one.goal.bound, "limit": finite(one.goal.limit),
             "kept_by": one.kept, "only_one_broken_by": one.only}
            for one in found.requirements
        ],
        "goals": [{"goal": one.name, "figure": one.figure, "direction": one.direction} for one in study.aims.wishes],
        "candidates": [_candidate(one, found) for one in found.candidates],
        "front": [_tried(one, found) for one in found.front],
        "around": [_step(one) for one in found.around],
        "tried": [_tried(one, found) for one in found.tried],
        "confidence": study.confidence,
        "seed": study.seed,
        "runs": len(found.spent.runs),
    }  # fmt: skip


def _tightest(one: Candidate) -> list[str]:
    tightest = one.probe.binding
    return [] if tightest is None else [tightest.goal.name]


def _candidate(one: Candidate, found: Recommendation) -> dict[str, Any]:
    return {
        "values": one.tried.point,
        "outcome": one.probe.outcome,
        "replications": one.probe.runs,
        "problem": one.probe.problem,
        "objectives": [plain(judged) for judged in one.probe.judgements],
        "goals": [
            {"goal": wish.name, "figure": wish.figure, **_interval(given)}
            for wish, given in zip(found.study.aims.wishes, one.wishes, strict=False)
        ],
    }


def _interval(given: Interval | Refused) -> dict[str, Any]:
    if isinstance(given, Refused):
        return {"estimate": finite(given.estimate), "low": None, "high": None, "why": given.reason}
    return {"estimate": finite(given.estimate), "low": finite(given.low), "high": finite(given.high), "why": ""}


def _tried(one: Tried, found: Recommendation) -> dict[str, Any]:
    return {
        "values": one.point,
        "figures": {name: finite(mean) for name, mean in one.means.items()},
        "keeps_all": one.feasible,
        "margin": finite(_margin(one)) if found.study.aims.requirements else None,
        "problem": one.problem,
    }


def _step(one: Step) -> dict[str, Any]:
    return {
        "knob": one.knob,
        "value": one.point[one.knob],
        "objectives": [plain(judged) for judged in one.judgements],
        "changes": {figure: _interval(given) for figure, given in one.changes.items()},
        "problem": one.problem,
    }


def show(found: Recommendation, console: Console) -> None:
    """Everything that `etcdsim recommend` says on stdout."""
    study = found.study
    tried = f"{len(found.tried)} settings tried, {study.replications} runs each"
    console.print(f"{study.name}: {study.scenario.name}, {study.variant}; {tried}", soft_wrap=True)
    console.print()
    if found.chosen is not None:
        _recommended(found, found.chosen, console)
    else:
        _nothing(found, console)
    _front(found, console)
    _around(found, console)


def _recommended(found: Recommendation, chosen: Candidate, console: Console) -> None:
    console.print("Recommended")
    for path in found.study.knobs:
        console.print(f"  {path}: {value_of(chosen.tried.point[path])}", soft_wrap=True)
    console.print()
    _judged(found, [("recommended", chosen), ("as it is now", found.now)], console)
    runs = f"{chosen.probe.runs} replications that the search has not seen"
    judged = (
        f"all {len(found.candidates)} candidates together at {found.study.confidence:.0%}" if found.study.aims.requirements else ""
    )
    console.print(f"{runs}{'; ' if judged else ''}{judged}", soft_wrap=True)
    tightest = chosen.probe.binding
    if tightest is not None:
        console.print(f"nearest to its bound: {tightest.goal.figure}")
    console.print()


def _judged(found: Recommendation, rows: list[tuple[str, Candidate]], console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table

    shown = plain_table()
    shown.add_column("", no_wrap=True)
    shown.add_column("figure", no_wrap=True)
    shown.add_column("asked", no_wrap=True)
    for name, _ in rows:
        shown.add_column(name, overflow="fold")
    for place, goal in enumerate(found.study.aims.requirements):
        cells = []
        for _, one in rows:
            if one.probe.problem:
                cells.append(one.probe.problem)
                continue
            judged = one.probe.judgements[place]
            cells.append(f"{judged.outcome}: {estimate(judged)}\nmargin {margin(judged) or '-'}")
        shown.add_row(*map(Text, (goal.name, goal.figure, bound(goal), *cells)))
    for place, wish in enumerate(found.study.aims.wishes):
        cells = [_mean(one.wishes[place], unit(wish.figure)) if one.wishes else "-" for _, one in rows]
        shown.add_row(*map(Text, (wish.name, wish.figure, f"as {wish.direction} as can be", *cells)))
    console.print(shown)
    console.print()


def _mean(given: Interval | Refused, of: str) -> str:
    if isinstance(given, Refused):
        return "-" if given.estimate is None else value(given.estimate, of)
    if given.low == given.high:
        return value(given.estimate, of)
    return f"{value(given.estimate, of)} ({value(given.low, of)} .. {value(given.high, of)})"


def _nothing(found: Recommendation, console: Console) -> None:
    if found.outcome == "undecided":
        console.print("Nothing is recommended: some setting may satisfy the constraints, but its replications do not decide it.")
    else:
        console.print("No setting that was tried satisfies the constraints.")
    names = ", ".join(f"{goal.figure} {bound(goal)}" for goal in found.binds)
    if len(found.requirements) == 1 or any(one.only for one in found.requirements):
        console.print(f"What binds: {names}", soft_wrap=True)
    elif found.requirements:
        console.print(f"They exclude each other; kept by the fewest: {names}", soft_wrap=True)
    for one in found.requirements:
        told = f"kept by {one.kept} of {len(found.tried)}, alone in the way of {one.only}"
        console.print(f"  {one.goal.figure} {bound(one.goal)}: {told}", soft_wrap=True)
    console.print()
    if found.candidates:
        nearest = found.candidates[0]
        console.print(f"Nearest: {setting(nearest.tried.point)}", soft_wrap=True)
        _judged(found, [("nearest", nearest), ("as it is now", found.now)], console)


def _front(found: Recommendation, console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table

    wishes = found.study.aims.wishes
    if len(wishes) < 2 or not found.front:
        return
    console.print("The front: no other setting is better in every goal (means of the search)")
    names = short(list(found.study.knobs))
    shown = plain_table()
    for path in found.study.knobs:
        shown.add_column(Text(names[path].replace(".", ".\n")), justify="right", overflow="fold")
    for wish in wishes:
        shown.add_column(wish.figure, justify="right", overflow="fold")
    shown.add_column("margin", justify="right")
    ordered = sorted(found.front, key=lambda one: -wishes[0].sign * (one.wishes[0] or 0.0))
    for one in ordered:
        cells = [value_of(one.point[path]) for path in found.study.knobs]
        cells += [value(one.means[wish.figure] or 0.0, unit(wish.figure)) for wish in wishes]
        shown.add_row(*map(Text, (*cells, f"x{_margin(one):.3g}")))
    console.print(shown)
    console.print()


def _around(found: Recommendation, console: Console) -> None:
    from rich.text import Text

    from sim.report.figure_table import plain_table

    if not found.around:
        return
    console.print("One step beside it: a tenth of the range, or the next value (change, on the same worlds)")
    figures = found.study.aims.figures
    names = short(list(found.study.knobs))
    shown = plain_table()
    shown.add_column("knob", overflow="fold")
    shown.add_column("instead", justify="right")
    for figure in figures:
        shown.add_column(Text(figure.replace(".", ".\n")), justify="right", overflow="fold")
    shown.add_column("keeps all")
    for one in found.around:
        words = {judged.outcome for judged in one.judgements}
        keeps = one.problem or ("no" if "fail" in words else "undecided" if "undecided" in words else "yes")
        cells = [_change(one.changes.get(figure), unit(figure)) for figure in figures]
        shown.add_row(*map(Text, (names[one.knob], value_of(one.point[one.knob]), *cells, keeps)))
    console.print(shown)
    for path in found.study.knobs:
        mine = [one for one in found.around if one.knob == path and not one.problem]
        if mine and all(_zero(given) for one in mine for given in one.changes.values()):
            console.print(f"no effect here: {path}", soft_wrap=True)


def _change(given: Interval | Refused | None, of: str) -> str:
    if given is None or isinstance(given, Refused):
        return "-"
    if _zero(given):
        return "0"
    sign = "+" if given.estimate > 0 else ""
    said = f"{sign}{value(given.estimate, of)}"
    return said if 0 not in given else f"{said} (may be 0)"


def _zero(given: Interval | Refused) -> bool:
    return isinstance(given, Interval) and given.low == given.high == 0


def value_of(given: Any) -> str:
    """A knob's value as the scenario writes it."""
    from sim.scenario.refusal import shown

    return shown(given)[1:-1]
