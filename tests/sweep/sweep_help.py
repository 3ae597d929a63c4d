"""A scenario that is simulated in a blink, and the command in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import sim

CONTROLLER = "controllers.zero-pod-writer"
QPS = f"{CONTROLLER}.client.qps"
WORKERS = f"{CONTROLLER}.workers"
COMMAND = [sys.executable, "-c", "import sys; from sim.cli import main; sys.exit(main())"]


def tiny(horizon: str = "4s") -> sim.Scenario:
    """A few seconds of the leak, busy enough for its client limiter to matter."""
    values: dict[str, Any] = {"horizon": horizon, "workloads.pod-churn.every": "200ms", "background.nodes": 0}
    values |= {f"{CONTROLLER}.reconcile.every": "1s", f"{CONTROLLER}.client.burst": 1}
    return sim.load("zero-value-leak-small").with_(values)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """`etcdsim ARGUMENTS` in a process of its own."""
    return subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code and what it wrote."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def rows_of(store: Path) -> dict[str, Any]:
    """What `etcdsim results STORE --json` prints."""
    code, out, err = finish(start("results", store, "--json"))
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found
