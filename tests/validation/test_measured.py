"""The committed measurement: what the documents say of it is in it, and its summary follows from its rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sim import data
from sim.validation.compare import GOALS, Row, summary

FILE = data.folder("validation") / "measured" / "etcd-3.5.1-quick.json"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_the_summary_follows_from_the_rows(found: dict[str, Any]) -> None:
    rows = [Row(**{key: value for key, value in row.items() if key != "counts"}) for row in found["rows"]]
    again = summary(rows)
    assert list(again) == list(found["summary"])
    for figure, said in found["summary"].items():
        for key, value in said.items():
            close = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            assert again[figure][key] == close, (figure, key)


def test_every_goal_was_met(found: dict[str, Any]) -> None:
    for figure in GOALS:
        assert found["summary"][figure]["met"], figure


def test_no_generator_was_what_was_measured(found: dict[str, Any]) -> None:
    for load in found["workloads"].values():
        assert load["most_cores_used"]["generator"] < 0.6
