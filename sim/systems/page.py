"""The systems as a page: what each claims, how it was tested, what came out, and by which rule."""

from __future__ import annotations

from typing import Final

from sim.analysis.outcome import Refused
from sim.report.human import brief, horizon, human
from sim.systems.growth import lines as fitted
from sim.systems.runs import Tested
from sim.systems.table import summary
from sim.systems.verdict import telling

_HEAD: Final = ("id", "system", "observable", "without", "with", "compared", "the article", "verdict")

_BEYOND: Final = 1e15


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
    judged = telling(one.system, one.judged)
    told = [
        one.system.id, one.system.name, judged.check.shows, *judged.sides,
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
        said = judged.verdict if judged.name in system.deciding() else f"({judged.verdict})"
        lines.append(
            _line([check.shows, judged.looked_at, *judged.sides, judged.said(judged.value),
                   judged.rule, check.says or "-", said])
        )  # fmt: skip
    if system.growth is not None:
        lines += ["", *_growth(one)]
    if one.failed:
        lines += ["", f"A run failed: {one.failed}"]
    if system.note:
        lines += ["", " ".join(system.note.split())]
    if pictures:
        lines += ["", f"![{system.name}: {', '.join(system.variant_names())}]({system.id}.png)"]
    return lines


def _growth(one: Tested) -> list[str]:
    """What each law says of each line, and whether the points choose one."""
    growth = one.system.growth
    assert growth is not None
    lines = [f"Growth of `{growth.figure}` with {growth.over}, and what each law then says of {brief(growth.predict, '')}:", ""]
    lines += [_line(["points", "law", "estimate", "95% band of a further run"]), "|---|---|---|---|"]
    found = fitted(one)
    for line in found:
        points = ", ".join(f"{brief(x, '')}: {human(y, '')}" for x, y in line.points)
        for at, (law, said) in enumerate(line.predictions.items()):
            band = said.reason if isinstance(said, Refused) else f"{_count(said.low)} to {_count(said.high)}"
            lines.append(_line([f"{line.name} ({points})" if at == 0 else "", law, _count(said.estimate), band]))
    return [*lines, "", *(f"- {line.name}: {line.choice.statement}." for line in found)]


def _count(value: float | None) -> str:
    """Numbers beyond all that could be: no digits."""
    if value is None:
        return human(value, "")
    return "beyond 1000 T" if value > _BEYOND else "0" if value < 1 / 2 else human(value, "")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
