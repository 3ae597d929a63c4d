"""How commands write: one JSON object, or text; remarks on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from concurrent.futures import Executor


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout and nothing else."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def remark(text: str) -> None:
    """A line for people on stderr."""
    click.echo(f"etcdsim: {text}", err=True)


class WholeNumber(click.IntRange):
    """A whole number in a range, called so in messages."""

    name = "whole number"


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
set_option = click.option(
    "--set", "assignments", multiple=True, metavar="PATH=VALUE",
    help="Change a field, such as etcd.quota=8GiB; wins over variants; may be repeated.",
)  # fmt: skip
scheduler_option = click.option(
    "--scheduler", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler, such as tcp://host:8786.",
)  # fmt: skip


@contextmanager
def executor_at(scheduler: str | None) -> Iterator[Executor | None]:
    """Where runs go: the cluster of a scheduler, or None for processes of this machine. Raises InputError."""
    if scheduler is None:
        yield None
        return
    from sim.sweeps.cluster import cluster

    with cluster(scheduler) as executor:
        yield executor
