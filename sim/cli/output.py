"""How commands write: one JSON object, or text; remarks on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click


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
