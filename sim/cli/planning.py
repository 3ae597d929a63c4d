"""What `frontier`, `recommend` and `sensitivity` share: options, values of a command line, progress, the files that they leave."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.output import WholeNumber, remark
from sim.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE_EVERY_SECONDS = 10


class Share(click.FloatRange):
    """A share such as 95% or 0.95."""

    name = "share"

    def __init__(self) -> None:
        super().__init__(min=0, max=1, min_open=True, max_open=True)

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        text = str(value).strip()
        try:
            found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            found = float("nan")
        if not 0 < found < 1:
            self.fail(f'"{text}" is not a share between 0 and 1, such as 95%', param, context)
        return found


require_option = click.option(
    "--require", "require", multiple=True, metavar="FIGURE<=VALUE",
    help="What has to hold, such as 'etcd.apply_seconds.p99<=100ms'; default: the scenario's objectives; may be repeated.",
)  # fmt: skip
variant_option = click.option("--variant", metavar="NAME", help="The variant that is meant, where there are several.")
horizon_option = click.option("--horizon", metavar="DURATION", help="How much time is simulated, such as 1h; as --set horizon=1h.")
workers_option = click.option("--workers", type=WholeNumber(min=1), metavar="N", help="Processes; default: all cores.")
out_option = click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="DIR",
    help="Runs, picture and answer; old or new; started again it goes on.",
)  # fmt: skip
confidence_option = click.option("--confidence", type=Share(), metavar="SHARE", help="Of every verdict; default: 95%.")


def changed(assignments: Sequence[str], horizon: str | None) -> dict[str, Any]:
    """Paths and values of --set and --horizon."""
    from sim.scenario import parse_assignment

    values: dict[str, Any] = dict(parse_assignment(text) for text in assignments)
    return values if horizon is None else {**values, "horizon": horizon}


def knobs(texts: Sequence[str], option: str) -> dict[str, str]:
    """PATH=VALUES of a repeated option. Raises InputError."""
    found = {}
    for text in texts:
        path, equals, values = text.partition("=")
        if not equals or not path.strip():
            raise InputError(f'{option}: "{text}" is not a knob with values; write path=values, such as etcd.quota=2GiB,8GiB')
        found[path.strip()] = values
    return found


def directory(out: Path | None, name: str, what: str) -> Path:
    """Where the answer goes, checked before anything is run. Raises InputError."""
    from sim.sweeps.store import check_target

    chosen = out if out is not None else Path(f"{name.replace('/', '-')}.{what}")
    check_target(chosen)
    return chosen


class Teller:
    """A line about progress on stderr now and then."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, line: str) -> None:
        if time.monotonic() - self._told >= _LINE_EVERY_SECONDS:
            self._told = time.monotonic()
            remark(line)


def leave(folder: Path, name: str, document: Mapping[str, Any], picture: Figure, files: Mapping[str, bytes] | None = None) -> None:
    """Write the answer and its picture beside the runs, each whole or not at all."""
    from sim.report.overview import png

    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    for file, content in {f"{name}.json": text.encode(), f"{name}.png": png(picture), **(files or {})}.items():
        aside = folder / f".{file}.{os.getpid()}"
        try:
            aside.write_bytes(content)
            aside.rename(folder / file)
        finally:
            aside.unlink(missing_ok=True)
