"""`etcdsim probe-disk`: measure a real disk and write the profile that a scenario can name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sim.cli.interrupt import Interrupted
from sim.cli.output import WholeNumber, json_option, print_json, remark
from sim.errors import InputError


@click.command("probe-disk", short_help="Measure write + fdatasync of a real disk.")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write a device profile, such as my-disk.yaml.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--samples", type=WholeNumber(min=20, max=1_000_000), default=1000, show_default=True, help="Writes at most.")
@click.option("--size", type=WholeNumber(min=1, max=2**20), default=2048, show_default=True, help="Bytes of a write.")
@click.option("--seconds", type=click.FloatRange(min=0.1, max=600), default=10.0, show_default=True, help="Time at most.")
@json_option
def probe_disk(
    directory: Path, out: Path | None, force: bool, samples: int, size: int, seconds: float, as_json: bool
) -> None:
    """Measure how long a small write takes to become durable in DIRECTORY: what etcd's log waits for.

    Works in a nameless temporary file of at most 32 MiB, which is gone afterwards.
    """
    from sim.hardware.probe import looks_like_memory, probe

    if out is not None:
        _check_target(out, force)
    try:
        profile = probe(directory, samples, size, seconds)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was kept") from None
    if out is not None:
        _write(profile, out)
    if as_json:
        print_json(_plain(profile))
    else:
        _print(profile)
    if looks_like_memory(profile):
        remark(f"warning: {directory} answers as memory does; etcd's disk will not")
    if out is not None:
        path = out if out.is_absolute() or out.parent != Path() else f"./{out}"
        remark(f"wrote {out}")
        if not as_json:
            members = " ".join(f"--set etcd.members.{member}.disk={path}" for member in "abc")
            click.echo(f"\netcdsim run zero-value-leak {members}")


def _check_target(out: Path, force: bool) -> None:
    if out.is_dir():
        raise InputError(f"{out} is a directory; name a file, such as my-disk.yaml")
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: a profile that a scenario can name ends in .yaml")
    if out.exists() and not force:
        raise InputError(f"{out} exists; name another file, or overwrite it with --force")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no directory {out.parent}")


def _write(profile: dict[str, Any], out: Path) -> None:
    """All or nothing: a profile that is being replaced stays until the new one is whole."""
    from sim.hardware.probe import to_yaml

    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_text(to_yaml(profile), encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _plain(profile: dict[str, Any]) -> dict[str, Any]:
    quantiles = {str(at): latency for at, latency in profile["fdatasync"]["quantiles"].items()}
    return {**profile, "fdatasync": {"quantiles": quantiles}}


def _print(profile: dict[str, Any]) -> None:
    from sim.report.figure_table import plain_table
    from sim.report.human import human
    from sim.report.terminal import ResultConsole
    from sim.units import parse_duration

    table = plain_table()
    table.add_column("write + fdatasync")
    cells = []
    for name, at in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1)):
        table.add_column(name, justify="right", min_width=9)
        cells.append(human(parse_duration(profile["fdatasync"]["quantiles"][at]) / 1e9, "seconds"))
    table.add_column("bandwidth", justify="right", min_width=11)
    table.add_row("", *cells, profile["bandwidth"])
    console = ResultConsole()
    console.print(profile["about"])
    console.print(table)
