"""`etcdsim calibrate`: from the metrics of a real etcd, or fio's JSON, to the cluster section of a scenario."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sim.cli.interrupt import Interrupted
from sim.cli.output import json_option, print_json, remark
from sim.errors import InputError

if TYPE_CHECKING:
    import ssl

    from sim.calibration.scrape import Scrape

_FILE: Final = click.Path(path_type=Path)
_MOST_SCRAPES: Final = 10_000


def _duration(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Nanoseconds of an option such as 15s, above zero."""
    from sim.units import parse_duration

    if value is None:
        return None
    try:
        nanoseconds = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if nanoseconds <= 0:
        raise click.BadParameter(f'"{value}" is not above zero')
    return nanoseconds


@dataclass(frozen=True)
class _Input:
    """Where the measurements are, as given."""

    metrics: Path | None
    before: Path | None
    series: tuple[Path, ...]
    every: int | None
    endpoint: str | None
    lasting: int | None
    prometheus: str | None
    window: int
    instance: str | None
    tls: ssl.SSLContext | None


@click.command(short_help="Turn a real etcd's metrics, or fio's JSON, into a cluster section.")
@click.option("--metrics", type=_FILE, metavar="FILE", help="What a member showed at /metrics; may be gzipped.")
@click.option("--metrics-before", "before", type=_FILE, metavar="FILE", help="An earlier scrape of it: only what happened between.")
@click.option(
    "--series", type=_FILE, multiple=True, metavar="DIR|FILE", help="Scrapes at intervals: tells stalls from single slow fsyncs."
)
@click.option("--every", callback=_duration, metavar="15s", help="How far apart the scrapes of a series are.")
@click.option("--fio", type=_FILE, metavar="FILE", help="JSON of fio --fdatasync=1: what the disk does under the lowest bucket.")
@click.option("--endpoint", metavar="URL", help="Scrape a member, such as http://127.0.0.1:2379.")
@click.option("--for", "lasting", callback=_duration, metavar="10m", help="With --endpoint: scrape for so long, --every so often.")
@click.option("--prometheus", metavar="URL", help="Ask a Prometheus server, such as http://127.0.0.1:9090.")
@click.option("--window", callback=_duration, default="1h", show_default=True, help="With --prometheus: how far back.")
@click.option("--instance", help="With --prometheus: the member, where there are several.")
@click.option("--cacert", type=_FILE, metavar="FILE", help="Certificate authority of an https URL.")
@click.option("--cert", type=_FILE, metavar="FILE", help="Client certificate for an https URL.")
@click.option("--key", type=_FILE, metavar="FILE", help="Its key.")
@click.option("--slow", callback=_duration, metavar="64ms", help="An fsync above this bound is slow (default: 1% or fewer are).")
@click.option("-o", "--out", type=_FILE, metavar="FILE", help="Write the cluster section, such as cluster.yaml.")
@click.option("--extends", metavar="SCENARIO", help="Make the written file extend a scenario, whose members' names it takes.")
@click.option("--device", type=_FILE, metavar="FILE", help="Write the device profile alone, such as my-disk.yaml.")
@click.option("--plot", "picture", type=_FILE, metavar="FILE", help="Draw the fits against the data: .png, .svg or .pdf.")
@click.option("--force", is_flag=True, help="Overwrite files.")
@click.argument("more", type=_FILE, nargs=-1, metavar="[FILE]...")
@json_option
def calibrate(
    metrics: Path | None,
    before: Path | None,
    series: tuple[Path, ...],
    every: int | None,
    fio: Path | None,
    endpoint: str | None,
    lasting: int | None,
    prometheus: str | None,
    window: int,
    instance: str | None,
    cacert: Path | None,
    cert: Path | None,
    key: Path | None,
    slow: int | None,
    out: Path | None,
    extends: str | None,
    device: Path | None,
    picture: Path | None,
    force: bool,
    more: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Fit a real cluster: distributions to the buckets of its histograms, body and tail, and say what they cannot tell.

    Give one source of metrics (--metrics, --series, --endpoint or --prometheus), or --fio, or both. FILEs after --series
    belong to it.
    """
    from sim.calibration.sources import tls_context

    if more and not series:
        raise InputError(f"{more[0]}: is given without an option; name it by --metrics, --series or --fio")
    given = _Input(
        metrics, before, (*series, *more), every, endpoint, lasting, prometheus, window, instance, tls_context(cacert, cert, key)
    )
    _check(given, fio)
    for path, endings in ((out, (".yaml", ".yml")), (device, (".yaml", ".yml")), (picture, (".png", ".svg", ".pdf"))):
        if path is not None:
            _check_target(path, endings, force)
    members = _members(extends)
    try:
        scrape, taken = _scrapes(given)
        _calibrate(scrape, taken, fio, members, slow, out, extends, device, picture, as_json)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was written") from None


def _calibrate(
    scrape: Scrape | None,
    taken: Sequence[Scrape],
    fio: Path | None,
    members: list[str] | None,
    slow: int | None,
    out: Path | None,
    extends: str | None,
    device: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    from sim.calibration.cluster import calibrate as fitted
    from sim.calibration.files import profile_yaml, to_data, to_yaml
    from sim.calibration.fio import read_fio
    from sim.units import seconds

    found = fitted(scrape, taken, read_fio(fio) if fio else None, members, seconds(slow) if slow else None)
    wrote = []
    if picture is not None:
        from sim.calibration.plot import save

        save(found, picture)
        wrote.append(picture)
    if out is not None:
        _write(out, to_yaml(found, None if extends is None else _seen_from(extends, out.parent)))
        wrote.append(out)
    if device is not None:
        _write(device, profile_yaml(found))
        wrote.append(device)
    if as_json:
        print_json(to_data(found))
    else:
        from sim.calibration.tables import print_calibration
        from sim.report.terminal import ResultConsole

        print_calibration(found, ResultConsole())
    for path in wrote:
        remark(f"wrote {path}")
    if not as_json:
        _next(out, extends, device, list(found.etcd["members"]))


def _next(out: Path | None, extends: str | None, device: Path | None, members: list[str]) -> None:
    """The commands that use what was written."""
    if out is not None and extends is not None:
        click.echo(f"etcdsim run {_named(out)}")
    elif out is not None:
        click.echo(f"extends: {_named(out)}    # the first line of your scenario; or calibrate again with --extends SCENARIO")
    if device is not None:
        click.echo("etcdsim run SCENARIO " + " ".join(f"--set etcd.members.{name}.disk={_named(device)}" for name in members))


def _named(path: Path) -> str:
    return str(path) if path.is_absolute() or path.parent != Path() else f"./{path}"


def _check(given: _Input, fio: Path | None) -> None:
    sources = {
        "--metrics": given.metrics,
        "--series": given.series or None,
        "--endpoint": given.endpoint,
        "--prometheus": given.prometheus,
    }
    named = [name for name, value in sources.items() if value is not None]
    if not named and fio is None:
        raise InputError(f"nothing to calibrate from; give {', '.join(sources)} or --fio")
    if len(named) > 1 and set(named) != {"--metrics", "--series"}:
        raise InputError(f"{' and '.join(named)}: give one of them; only --metrics goes with --series")
    for option, value, needs in (
        ("--metrics-before", given.before, "--metrics"),
        ("--for", given.lasting, "--endpoint"),
        ("--instance", given.instance, "--prometheus"),
    ):
        if value is not None and sources[needs] is None:
            raise InputError(f"{option}: is given without {needs}")
    if given.every is not None and not given.series and given.lasting is None:
        raise InputError("--every: is given without --series, or --endpoint with --for")


def _scrapes(given: _Input) -> tuple[Scrape | None, list[Scrape]]:
    """The scrape or difference to fit, and the series where there is one."""
    from sim.calibration import sources
    from sim.units import SECOND, format_duration

    if given.prometheus is not None:
        taken = sources.ask_prometheus(given.prometheus, given.window, given.instance, given.tls)
    elif given.endpoint is not None and given.lasting is not None:
        every = given.every or max(given.lasting // 120, SECOND)
        count = given.lasting // every + 1
        if not 3 <= count <= _MOST_SCRAPES:
            raise InputError(
                f"--for: {format_duration(given.lasting)} in steps of {format_duration(every)} is {count} scrapes; allowed are 3 "
                f"to {_MOST_SCRAPES}"
            )
        remark(f"{count} scrapes, {format_duration(every)} apart")
        taken = sources.scrape_repeatedly(given.endpoint, count, every, given.tls)
    elif given.endpoint is not None:
        return sources.scrape_member(given.endpoint, given.tls), []
    else:
        taken = sources.read_series(given.series, given.every) if given.series else []
    if given.metrics is not None:
        scrape = sources.read_scrape(given.metrics)
        return (scrape if given.before is None else scrape.since(sources.read_scrape(given.before))), taken
    if not taken:
        return None, []
    return (taken[-1].since(taken[0]) if len(taken) > 1 else taken[0]), taken


def _members(extends: str | None) -> list[str] | None:
    """The names of the members of the scenario that is extended."""
    if extends is None:
        return None
    from sim.scenario import load

    return list(load(extends).etcd.members)


def _seen_from(extends: str, folder: Path) -> str:
    """How a file in `folder` names the scenario: a path is relative to the file that holds it."""
    from sim.scenario.device import is_path

    if not is_path(extends) or Path(extends).is_absolute():
        return extends
    return f"./{os.path.relpath(extends, folder)}"


def _check_target(out: Path, endings: tuple[str, ...], force: bool) -> None:
    if out.is_dir():
        raise InputError(f"{out} is a directory; name a file")
    if out.suffix not in endings:
        raise InputError(f"{out}: ends in {out.suffix or 'nothing'}; allowed is {', '.join(endings)}")
    if out.exists() and not force:
        raise InputError(f"{out} exists; name another file, or overwrite it with --force")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no directory {out.parent}")


def _write(out: Path, text: str) -> None:
    """All or nothing: a file that is being replaced stays until the new one is whole."""
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
