"""`etcdsim systems`: every system of the article, tested by fresh runs."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.cli.interrupt import Interrupted
from sim.cli.output import WholeNumber, json_option, print_json, remark
from sim.errors import InputError

if TYPE_CHECKING:
    from sim.sweeps.runner import Tally
    from sim.systems.runs import Tested

_LINE_EVERY_SECONDS = 10
_RUNS = "runs"
_PICTURES_END = ".png"


@click.command(short_help="Test every system of the article: reproduced, refuted, not comparable.")
@click.option("--quick", is_flag=True, help="Smaller runs: all systems in two minutes on two cores.")
@click.option("--only", multiple=True, metavar="ID[,ID]", help="Only these, such as S3 or S13a,S13c; may be repeated.")
@click.option("--seed", type=WholeNumber(min=0), default=1, show_default=True, help="The world that all variants meet.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="DIR",
    help="Keep runs, page and pictures in DIR; started again, it goes on where it was.",
)  # fmt: skip
@click.option("--checks", is_flag=True, help="Print every check, not only the one that tells the verdict.")
@json_option
@click.option("--workers", type=WholeNumber(min=1), metavar="N", help="Processes; default: all cores.")
def systems(
    quick: bool, only: Sequence[str], seed: int, out: Path | None, checks: bool, as_json: bool, workers: int | None
) -> None:
    """Run each of the article's systems without and with its defence, and compare with what the article says.

    A verdict is computed from the figures of the runs by the rule that the system declares; --json prints it. The full form takes
    the article's sizes and many minutes: with -o it can be interrupted and started again.
    """
    from sim.systems.registry import chosen

    wanted = [one.strip() for text in only for one in text.split(",") if one.strip()]
    if only and not wanted:
        raise InputError('--only: "" is not the id of a system')
    picked = chosen(wanted)
    if out is not None:
        from sim.sweeps.store import check_target

        if out.exists() and not out.is_dir():
            raise InputError(f"--out: {out} is not a directory")
        if out.is_dir() and any(out.iterdir()) and not (out / _RUNS).is_dir():
            raise InputError(f"--out: {out} is not empty and not made by this command; name a new directory")
        if not out.absolute().parent.is_dir():
            raise InputError(f"--out: {out}: there is no directory {out.absolute().parent}")
        if out.is_dir():
            check_target(out / _RUNS)

    from sim.systems.runs import run_all

    progress = _Progress()
    try:
        if out is not None:
            out.mkdir(exist_ok=True)
            tested = run_all(picked, out / _RUNS, quick=quick, seed=seed, workers=workers, progress=progress.show)
        else:
            with tempfile.TemporaryDirectory(prefix="etcdsim-") as folder:
                tested = run_all(picked, Path(folder) / _RUNS, quick=quick, seed=seed, workers=workers, progress=progress.show)
    except KeyboardInterrupt:
        kept = f"; start again to go on, in {out}" if out is not None else "; nothing was kept: -o DIR keeps the runs"
        raise Interrupted(f"interrupted {progress.where()}{kept}") from None
    if out is not None:
        _save(tested, out, quick, seed)
    if as_json:
        from sim.systems.document import document

        print_json(document(tested, quick, seed))
    else:
        from sim.report.terminal import ResultConsole
        from sim.systems.table import print_table

        print_table(tested, ResultConsole(), checks)
    if out is not None:
        remark(f"saved in {out}: systems.md, systems.json, a picture each")
    if failed := [one.system.id for one in tested if one.failed]:
        remark(f"runs of {', '.join(failed)} failed")
        click.get_current_context().exit(1)


def _save(tested: list[Tested], out: Path, quick: bool, seed: int) -> None:
    """Page, document and pictures; each is written aside and then renamed."""
    from sim.report.document import text
    from sim.systems.document import document
    from sim.systems.page import page
    from sim.systems.picture import picture

    files = {f"{one.system.id}{_PICTURES_END}": picture(one) for one in tested}
    files["systems.md"] = page(tested, quick, seed, pictures=True).encode()
    files["systems.json"] = text(document(tested, quick, seed)).encode()
    for name, content in files.items():
        aside = out / f".{name}.partial"
        aside.write_bytes(content)
        aside.replace(out / name)


class _Progress:
    """How many runs are done, on stderr: a line that is written over on a terminal, else one now and then."""

    def __init__(self) -> None:
        self._last: Tally | None = None
        self._told = time.monotonic()

    def show(self, tally: Tally) -> None:
        """Called whenever something may have changed."""
        self._last = tally
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{self._said()}" if tally.left else "\r\x1b[K", nl=False, err=True)
        elif time.monotonic() - self._told >= _LINE_EVERY_SECONDS:
            self._told = time.monotonic()
            remark(self._said())

    def where(self) -> str:
        """How far it was."""
        return f"after {self._said()}" if self._last is not None else "before the first run"

    def _said(self) -> str:
        from sim.report.human import human

        assert self._last is not None
        said = f"{self._last.total - self._last.left} of {self._last.total} runs"
        left = self._last.seconds_left
        return f"{said}, {human(left, 'seconds')} left" if left else said
