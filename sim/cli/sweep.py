"""`etcdsim sweep`: many settings of a scenario, on all cores, resumable."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from sim.cli.interrupt import Interrupted
from sim.cli.output import WholeNumber, executor_at, json_option, print_json, remark, scheduler_option, set_option
from sim.errors import InputError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from rich.progress import Progress as Bars

    from sim.sweeps.estimate import Estimate
    from sim.sweeps.plan import Plan
    from sim.sweeps.rows import Results
    from sim.sweeps.runner import Tally
    from sim.sweeps.study import Study

_LINE_EVERY_SECONDS = 10


@click.command(short_help="Simulate a scenario at many settings; resumable.")
@click.argument("given", metavar="STUDY|SCENARIO")
@click.option(
    "--vary", multiple=True, metavar="PATH=VALUES",
    help="A knob and its values: 1,5,20 or log(1,100,5), linear, int, logint; may be repeated.",
)  # fmt: skip
@set_option
@click.option("--horizon", metavar="DURATION", help="How much time is simulated, such as 1h; as --set horizon=1h.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--design", metavar="NAME", help="grid (default), lhs, sobol, or points: first values together, and so on.")
@click.option("--samples", type=int, metavar="N", help="How many points lhs and sobol take.")
@click.option("--replications", type=int, metavar="N", help="Runs of each point and variant; default: 5.")
@click.option(
    "--until-half-width", "until", multiple=True, metavar="[FIGURE=]SHARE",
    help="Replications until the interval is as narrow, such as 5%, at each point; --replications is then the most (200).",
)  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Of the first replication, and of the samples; default: 1.")
@click.option("--independent", is_flag=True, help="Other random numbers at each point; by default all meet the same worlds.")
@click.option("--series", type=int, metavar="N", help="Points kept of each run's time series; 0 for none; default: 200.")
@click.option("--figure", "figures", multiple=True, metavar="NAME", help="A column of the table; may be repeated.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="The store, old or new; default: NAME.sweep.")
@click.option("--workers", type=WholeNumber(min=1), metavar="N", help="Processes; default: all cores.")
@scheduler_option
@click.option("--dry-run", is_flag=True, help="Only say how many runs there are to do, and about how long they take.")
@json_option
def sweep(
    given: str, vary: Sequence[str], assignments: Sequence[str], horizon: str | None, variants: Sequence[str], design: str | None,
    samples: int | None, replications: int | None, until: Sequence[str], seed: int | None, independent: bool, series: int | None,
    figures: Sequence[str], out: Path | None, workers: int | None, scheduler: str | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Simulate a scenario at every point of a study, and print a table with a row for each point and variant.

    STUDY is a YAML file (or a name) that says what to vary; SCENARIO needs --vary. Started again, a sweep goes on where it ended:
    runs that are in the store are not repeated. The exit code is 1 if some points failed.
    """
    from sim.sweeps.plan import Plan
    from sim.sweeps.store import check_target

    options = {
        "design": design, "samples": samples, "replications": replications, "seed": seed, "series": series,
        "common": False if independent else None, "variants": tuple(variants) or None, "figures": tuple(figures) or None,
        "until": list(until) or None,
    }  # fmt: skip
    plan = Plan(_study(given, vary, _values(assignments, horizon), options))
    directory = out if out is not None else Path(f"{plan.study.name.replace('/', '-')}.sweep")
    check_target(directory)
    for at, problem in plan.problems.items():
        remark(f"point {at} cannot be simulated: {problem}")
    count = workers or os.cpu_count() or 1
    if dry_run:
        _foretell(plan, directory, count, as_json)
        return
    with executor_at(scheduler) as executor:
        failed = _run(plan, directory, executor, count, list(figures) or None, as_json)
    if failed:
        click.get_current_context().exit(1)


def _values(assignments: Sequence[str], horizon: str | None) -> dict[str, Any]:
    from sim.scenario import parse_assignment

    values: dict[str, Any] = dict(parse_assignment(text) for text in assignments)
    return values if horizon is None else {**values, "horizon": horizon}


def _study(given: str, vary: Sequence[str], values: dict[str, Any], options: dict[str, Any]) -> Study:
    """The study of a command line: a file's, with what the options change, or a scenario's."""
    from sim.report.declared import check
    from sim.scenario import load, warnings
    from sim.sweeps import study as studies
    from sim.sweeps.values import read

    over = dict(_knob(text) for text in vary)
    kept = {name: value for name, value in options.items() if value is not None}
    if studies.is_study(given):
        base = studies.load(given)
        scenario = base.scenario.with_(values) if values else base.scenario
        if "until" in kept:
            kept["until"] = studies.until(kept["until"], kept.get("figures", ()))
            kept.setdefault("replications", studies.MOST_UNTIL)
        knobs = {**base.knobs, **{path: read(text, path) for path, text in over.items()}}
        made = base.changed(scenario=scenario, knobs=knobs, **kept)
    else:
        scenario = load(given, set=values)
        made = studies.study(str(scenario.name), scenario, over, **kept)
    check(made.scenario)
    for warning in warnings(made.scenario):
        remark(f"warning: {warning}")
    return made


def _knob(text: str) -> tuple[str, str]:
    path, equals, values = text.partition("=")
    if not equals or not path.strip():
        raise InputError(f'--vary: "{text}" is not a knob with values; write path=values, such as etcd.quota=2GiB,8GiB')
    return path.strip(), values


def _run(
    plan: Plan, directory: Path, executor: Executor | None, workers: int, figures: Sequence[str] | None, as_json: bool
) -> bool:
    """Run what is missing and print all; whether something failed."""
    from sim.cli.results import print_results
    from sim.sweeps.api import execute
    from sim.sweeps.rows import Results
    from sim.sweeps.store import Store, StoreFull

    try:
        with Store(directory, create=True) as store:
            with Watch() as watch:
                try:
                    tally = execute(plan, store, executor, None if executor is not None else workers, watch.show)
                except KeyboardInterrupt:
                    raise Interrupted(f"interrupted {watch.where()}; start again to go on, in {directory}") from None
            found = Results(store, plan.id)
            print_results(found, figures, as_json)
            _say_until(plan, found)
    except StoreFull as problem:
        raise InputError(str(problem)) from None
    _sum_up(plan, tally, directory)
    return bool(tally.failed or plan.problems or tally.unsaved or tally.gone)


def _say_until(plan: Plan, found: Results) -> None:
    """Where the rule of --until-half-width was met, and where it was given up."""
    from sim.sweeps.until import reached

    told = reached(plan.study, found) if plan.study.until else []
    if told:
        met = sum(one.reached for one in told)
        remark(f"until the half width is met: {met} of {len(told)} intervals are narrow enough")
    for one in [one for one in told if not one.reached][:5]:
        remark(f"point {one.point}, {one.variant}, {one.figure}: {one.why}")


def _sum_up(plan: Plan, tally: Tally, directory: Path) -> None:
    here = f"{tally.done} runs simulated" + (f", {tally.elsewhere} by another sweep" if tally.elsewhere else "")
    parts = [here, f"{tally.present} already there", f"{len(tally.failed)} failed"]
    if plan.problems:
        parts.append(f"{len(plan.problems)} of {len(plan.points)} points cannot be simulated")
    remark(f"{', '.join(parts)}; in {directory}")
    for reason in list(dict.fromkeys(tally.failed.values()))[:3]:
        remark(f"failed: {reason}")
    if tally.gone:
        remark(f"where the runs went takes no more ({tally.gone}): {tally.left} runs were not simulated; start again to go on")
    if tally.unsaved:
        remark(f"{tally.full}: {tally.unsaved} runs were simulated but not stored; make room and start again")
    elif tally.full:
        remark(f"{tally.full}: for a while nothing could be written; all runs are stored")


def _foretell(plan: Plan, directory: Path, workers: int, as_json: bool) -> None:
    from sim.sweeps.estimate import estimate

    found = estimate(plan, directory, workers)
    if as_json:
        print_json(_foretold(plan, found))
        return
    from sim.report.human import human

    names = plan.study.variant_names()
    points = len(plan.points) - len(plan.problems)
    until = f"at least {found.runs // (points * len(names))}, at most " if plan.study.until else ""
    click.echo(f"{points} points x {len(names)} variants x {until}{plan.study.replications} replications: {found.runs} runs"
               + (" for a first look" if until else ""))  # fmt: skip
    click.echo(f"{found.present} already there, {found.missing} to do")
    if found.missing:
        each, took = human(found.run_seconds, "seconds"), human(found.seconds, "seconds")
        click.echo(f"about {took} on {workers} workers ({each} a run, from {found.taken_from})")


def _foretold(plan: Plan, found: Estimate) -> dict[str, Any]:
    return {
        "points": found.points,
        "impossible_points": len(plan.problems),
        "variants": plan.study.variant_names(),
        "replications": plan.study.replications,
        "runs": found.runs,
        "present": found.present,
        "missing": found.missing,
        "workers": found.workers,
        "run_seconds": found.run_seconds,
        "seconds": found.seconds,
        "from": found.taken_from,
    }


class Watch:
    """Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._told = time.monotonic()
        self._last: Tally | None = None

    def __enter__(self) -> Watch:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bars

            console = Console(stderr=True, highlight=False)
            self._bars = Bars(BarColumn(bar_width=24), TextColumn("{task.description}"), console=console, transient=True)
            self._bars.add_task("", total=1.0)
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, tally: Tally) -> None:
        """Called by the sweep whenever something may have changed."""
        self._last = tally
        if self._bars is not None:
            share = 1 - tally.left / max(tally.total, 1)
            self._bars.update(self._bars.task_ids[0], completed=share, description=_progress(tally))
        elif time.monotonic() - self._told >= _LINE_EVERY_SECONDS:
            self._told = time.monotonic()
            remark(_progress(tally))

    def where(self) -> str:
        """How far the sweep was."""
        return f"after {_progress(self._last)}" if self._last is not None else "before the first run"


def _progress(tally: Tally) -> str:
    from sim.report.human import human

    said = f"{tally.total - tally.left} of {tally.total} runs, {tally.per_second:.3g} runs/s"
    left = tally.seconds_left
    if left:
        said += f", {human(left, 'seconds')} left"
    if tally.failed:
        said += f", {len(tally.failed)} failed"
    return f"{said}, disk full" if tally.full else said
