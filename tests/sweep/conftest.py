"""Fixtures of the sweep tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_help import tiny

import sim
from sim.scenario import dump


@pytest.fixture
def blink() -> sim.Scenario:
    return tiny()


@pytest.fixture
def blink_file(tmp_path: Path) -> Path:
    """The same as a file for the command line."""
    path = tmp_path / "blink.yaml"
    path.write_text(dump(tiny()))
    return path
