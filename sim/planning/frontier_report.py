"""A frontier as tables, as plain data, and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from sim.planning.frontier import Frontier, Limit
from sim.planning.report import bound, finite, plain, setting, short

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1


def table(found: Frontier) -> pd.DataFrame:
    """See `Frontier.table`."""
    rows = [
        {**one.setting, "meets": one.meets, "fails": one.fails, "binds": one.binds, "monotone": one.monotone}
        for one in found.limits
    ]
    frame = pd.DataFrame(rows)
    return frame.astype({"meets": "Int64", "fails": "Int64"})


def probes(found: Frontier) -> pd.DataFrame:
    """See `Frontier.probes`."""
    rows = []
    for limit in found.limits:
        for count, one in limit.probes.items():
            where = {**limit.setting, "count": count, "outcome": one.outcome, "runs": one.runs}
            for judged in one.judgements:
                ends = (judged.interval.low, judged.interval.high) if judged.interval else (None, None)
                rows.append(
                    {**where, "objective": judged.goal.name, "figure": judged.goal.figure, "estimate": judged.estimate,
                     "low": ends[0], "high": ends[1], "margin": judged.margin, "worst": judged.worst, "decided": judged.outcome,
                     "why": judged.why}
                )  # fmt: skip
            if one.problem:
                rows.append({**where, "decided": "fail", "why": one.problem})
    return pd.DataFrame(rows)


def document(found: Frontier) -> dict[str, Any]:
    """See `Frontier.to_json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": found.name,
        "variant": found.variant,
        "knob": found.knob,
        "confidence": found.level,
        "seed": found.seed,
        "objectives": [
            {"objective": one.name, "figure": one.figure, "bound": one.bound, "limit": finite(one.limit)}
            for one in found.aims.requirements
        ],
        "settings": [_limit(one) for one in found.limits],
        "runs": len(found.spent.runs),
    }


def _limit(one: Limit) -> dict[str, Any]:
    return {
        "values": one.setting,
        "meets": one.meets,
        "fails": one.fails,
        "largest_tried": max(one.probes),
        "undecided": one.undecided,
        "binds": one.binds,
        "monotone": one.monotone,
        "probes": [
            {"count": count, "outcome": probe.outcome, "runs": probe.runs, "problem": probe.problem,
             "judgements": [plain(judged) for judged in probe.judgements]}
            for count, probe in one.probes.items()
        ],
    }  # fmt: skip


def show(found: Frontier, console: Console) -> None:
    """Everything that `etcdsim frontier` says on stdout."""
    from rich.text import Text

    from sim.report.figure_table import plain_table
    from sim.scenario.refusal import shown as quoted

    console.print(f"{found.name}, {found.variant}: the largest {found.knob} that meets", soft_wrap=True)
    for goal in found.aims.requirements:
        console.print(f"  {goal.figure} {bound(goal)}")
    console.print()
    names = short([path for one in found.limits for path in one.setting])
    shown = plain_table()
    for path in found.limits[0].setting:
        shown.add_column(Text(names[path].replace(".", ".\n")), justify="right", overflow="fold")
    for head in ("meets up to", "undecided", "fails from"):
        shown.add_column(head, justify="right")
    shown.add_column("what ends it", overflow="fold")
    shown.add_column("tried", justify="right")
    for one in found.limits:
        values = [quoted(given)[1:-1] for given in one.setting.values()]
        shown.add_row(*map(Text, [*values, *words(one)]), str(len(one.probes)))
    console.print(shown)
    console.print()
    for one in found.limits:
        if not one.monotone:
            where = f" with {setting(one.setting, names)}" if one.setting else ""
            passed = [count for count, probe in one.probes.items() if probe.outcome == "pass" and count > (one.fails or 0)]
            console.print(
                f"not monotone{where}: it fails at {one.fails} and passes at {passed}; the largest count is not the last good one"
            )
    console.print(f"each count is judged at {found.level:.0%} over all its looks; {len(found.spent.runs)} runs")


def words(one: Limit) -> tuple[str, str, str, str]:
    """`meets up to`, `undecided`, `fails from` and `what ends it` of a limit."""
    meets = "none" if one.meets is None else f"{one.meets}"
    fails = "not tried further" if one.fails is None else f"{one.fails}"
    if one.fails is None and one.meets == one.most:
        meets, fails = f"{one.meets}, the largest allowed", "-"
    open_ = [count for count in one.undecided if (one.fails is None or count < one.fails) and count > (one.meets or 0)]
    band = "-" if not open_ else f"{open_[0]}" if len(open_) == 1 else f"{open_[0]} to {open_[-1]}"
    ends = one.binds if one.fails is not None or open_ else "nothing did"
    return meets, band, fails, ends
