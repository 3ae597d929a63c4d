"""Fixtures of the planning tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sweep"))

from sweep_help import tiny

from sim.scenario import dump


@pytest.fixture
def blink_file(tmp_path: Path) -> Path:
    """A scenario that is simulated in a blink, as a file for the command line."""
    path = tmp_path / "blink.yaml"
    path.write_text(dump(tiny("2s")))
    return path
