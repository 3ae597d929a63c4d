"""The systems as a page: what each claims, how it was tested, what came out, and by which rule."""

from __future__ import annotations

from typing import Final

from sim.report.human import horizon
from sim.systems.runs import Tested
from sim.systems.table import summary

_HEAD: Final = ("id", "system", "observable", "without", "with", "compared", "the article", "verdict")


def page(tested: list[Tested], quick: bool, seed: int, pictures: bool) -> str:
    """Markdown; pictures: whether `<id>.png` stands beside it."""
    form = "quick form" if quick else "full form"
    lines = ["# The systems of the article", "", f"{summary(tested).split('. ')[0]}. {form.capitalize()}, seed {seed}.", ""]
    lines += [_line(list(_HEAD)), "|---" * len(_HEAD) + "|"]
    lines += [_row(one) for one in tested]
    for one in tested:
        lines += ["", *_section(one, pictures)]
    return "\n".join(lines) + "\n"


def _row(one: Tested) -> str:
    judged = next(judged for judged in one.judged if judged.name in one.system.deciding())
    told = [
        one.system.id, one.system.name, judged.check.shows, judged.side(judged.without), judged.side(judged.with_),
        judged.said(judged.value), judged.check.says or "-", one.verdict,
    ]  # fmt: skip
    return _line(told)


def _section(one: Tested, pictures: bool) -> list[str]:
    system = one.system
    lines = [
        f"## {system.id} {system.name}",
        "",
        f"*{' '.join(system.claim.split())}* ({system.source})",
        "",
        f"Scenario `{system.scenario}`, {horizon(one.horizon_seconds)}: without `{system.without}`, with `{system.with_}`. "
        f"Verdict: **{one.verdict}**.",
        "",
        "| observable | figure | without | with | compared | rule | the article | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for judged in one.judged:
        check = judged.check
        figure = f"`{check.figure}`" + (f" per `{check.per}`" if check.per else "")
        said = judged.verdict if judged.name in system.deciding() else f"({judged.verdict})"
        lines.append(
            _line([check.shows, figure, judged.side(judged.without), judged.side(judged.with_), judged.said(judged.value),
                   judged.rule, check.says or "-", said])
        )  # fmt: skip
    if one.failed:
        lines += ["", f"A run failed: {one.failed}"]
    if system.note:
        lines += ["", " ".join(system.note.split())]
    if pictures:
        lines += ["", f"![{system.name}: {', '.join(system.variant_names())}]({system.id}.png)"]
    return lines


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
