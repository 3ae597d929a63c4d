"""`etcdsim growth`: the law by which a figure grows, and what it says further out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sim.cli import planning
from sim.cli.output import json_option, print_json, remark
from sim.errors import InputError


@click.command(short_help="How a figure grows with a knob or with time: laws, bands, time to quota.")
@click.argument("source", metavar="DIR|FILE.csv")
@click.option("--of", "figure", metavar="NAME", help="The figure (of a file: the column); default: the first that the sweep shows.")
@click.option("--against", metavar="PATH", help="The knob (the column), or time; default: the only one that varies.")
@click.option("--variant", metavar="NAME", help="Only this variant.")
@click.option("--where", multiple=True, metavar="PATH=VALUE", help="Only runs with this value of another knob; may be repeated.")
@click.option("--law", "laws", multiple=True, metavar="NAME", help="Only this law, such as power or quadratic; may be repeated.")
@click.option("--at", "at", metavar="X,...", help="What the laws say there; of time with a unit, such as 7d.")
@click.option("--reach", metavar="VALUE", help="Where the figure reaches it, such as 2GiB.")
@click.option("--furthest", metavar="X", help="How far to look for that; default: 100 times the last point.")
@planning.confidence_option
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.png", help="Draw it.")
@json_option
def growth(
    source: str, figure: str | None, against: str | None, variant: str | None, where: Sequence[str], laws: Sequence[str],
    at: str | None, reach: str | None, furthest: str | None, confidence: float | None, out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Fit laws of growth to the runs of a sweep (DIR), or to measurements of your own (FILE.csv), and say which the points prefer.

    A law is chosen by AICc where the number of points allows it; where it does not, that is said. Against time each run's curve is
    fitted, and the time to the quota is told.
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"{source}: there is no such store or file")
    if out is not None and out.suffix != ".png":
        raise InputError(f"--out: {out} is not the name of a picture; such as growth.png")
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"{out}: there is no directory {out.absolute().parent}")
    from sim.planning.growth_report import document, show
    from sim.planning.growth_source import read

    chosen = planning.knobs(where, "--where")
    found = read(path, figure, against, variant=variant, where=chosen, laws=laws, level=confidence or 0.95)
    places = [_place(text, against, "--at") for text in at.split(",")] if at else []
    level = None if reach is None else _level(reach, found.growths[0].figure)
    furthest_ = None if furthest is None else _place(furthest, against, "--furthest")
    if out is not None:
        from sim.planning.growth_plot import draw
        from sim.report.overview import png

        out.write_bytes(png(draw(found.growths, places)))
    if as_json:
        print_json(document(found.growths, found.quota, places, level, furthest_))
    else:
        from sim.report.terminal import ResultConsole

        show(found.growths, found.quota, places, level, furthest_, ResultConsole())
    if out is not None:
        remark(f"drawn to {out}")


def _place(text: str, against: str | None, option: str) -> float:
    from sim.units import parse_duration, seconds

    try:
        found = seconds(parse_duration(text.strip())) if against == "time" else float(text)
    except ValueError:
        found = float("nan")
    if not 0 < found < float("inf"):
        kind = "a duration, such as 7d" if against == "time" else "a number above 0"
        raise InputError(f'{option}: "{text.strip()}" is not {kind}')
    return found


def _level(text: str, figure: str) -> float:
    from sim.planning.aims import unit
    from sim.report.human import quantity

    try:
        given: Any = float(text)
    except ValueError:
        given = text
    try:
        return quantity(given, unit(figure))
    except InputError as error:
        raise InputError(f"--reach: {error}") from None
