"""A scenario that is simulated in a blink, and the command: in this process, or in one of its own."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from own_process import OwnProcess

import sim
from sim.cli import main

CONTROLLER = "controllers.zero-pod-writer"
QPS = f"{CONTROLLER}.client.qps"
WORKERS = f"{CONTROLLER}.workers"


def tiny(horizon: str = "4s") -> sim.Scenario:
    """A few seconds of the leak, busy enough for its client limiter to matter."""
    values: dict[str, Any] = {"horizon": horizon, "workloads.pod-churn.every": "200ms", "background.nodes": 0}
    values |= {f"{CONTROLLER}.reconcile.every": "1s", f"{CONTROLLER}.client.burst": 1}
    return sim.load("zero-value-leak-small").with_(values)


def start(*arguments: str | Path) -> OwnProcess:
    """`etcdsim ARGUMENTS` in a process of its own."""
    return OwnProcess(*arguments)


def finish(process: OwnProcess) -> tuple[int, str, str]:
    """Its exit code and what it wrote."""
    out, err = process.communicate(timeout=300)
    return process.wait(), out, err


def here(*arguments: str | Path) -> tuple[int, str, str]:
    """The exit code of `etcdsim ARGUMENTS` in this process, and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(map(str, arguments)))
    return code, out.getvalue(), err.getvalue()


def rows_of(store: Path) -> dict[str, Any]:
    """What `etcdsim results STORE --json` prints."""
    code, out, err = here("results", store, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found
