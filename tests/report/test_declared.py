"""References, objectives and what a figure is worth as evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from report_sample import runs, scenario

from sim.analysis import Judgement
from sim.errors import InputError
from sim.report.declared import check, parameters, references, standing
from sim.report.intervals import judgements
from sim.result import Runs


def judged(objective: dict[str, Any], value: float | None, status: str = "reached") -> Judgement:
    figure = objective["figure"]
    before = runs(objectives={"x": {"variant": "fixed", **objective}})
    changed = replace(before["fixed"], metrics={figure: value}, status={figure: status})
    (verdict,) = judgements(Runs(before.scenario, 1, {"leaking": before["leaking"], "fixed": changed}))
    return verdict


@pytest.mark.parametrize(
    ("objective", "value", "passed", "margin"),
    [
        ({"figure": "etcd.seconds_to_quota", "min": "30d"}, 60 * 86_400, True, 2.0),
        ({"figure": "etcd.seconds_to_quota", "min": "30d"}, 15 * 86_400, False, 0.5),
        ({"figure": "etcd.apply_seconds.p99", "max": "100ms"}, 0.025, True, 4.0),
        ({"figure": "etcd.apply_seconds.p99", "max": "100ms"}, 0.2, False, 0.5),
        ({"figure": "etcd.db_bytes_total", "max": "1GiB"}, 2**31, False, 0.5),
        ({"figure": "etcd.keys_live", "max": 100}, 100, True, 1.0),
    ],
)
def test_pass_or_fail_and_the_margin(objective: dict[str, Any], value: float, passed: bool, margin: float) -> None:
    verdict = judged(objective, value)
    assert verdict.keeps is passed
    assert verdict.outcome == "undecided"  # one world has no interval
    assert verdict.margin == pytest.approx(margin)


def test_never_is_later_than_any_limit_and_unknown_decides_nothing() -> None:
    assert judged({"figure": "etcd.seconds_to_quota", "min": "30d"}, None, "never").keeps is True
    assert judged({"figure": "etcd.seconds_to_quota", "min": "30d"}, None, "unknown").keeps is None
    assert judged({"figure": "etcd.seconds_to_quota", "max": "30d"}, None, "never").keeps is False


def test_an_objective_without_a_variant_is_held_against_each() -> None:
    found = list(judgements(runs(objectives={"x": {"figure": "etcd.keys_live", "min": 1, "max": 10_000}})))
    assert [(one.variant, one.goal.bound, one.keeps) for one in found] == [
        ("leaking", "min", True), ("fixed", "min", True), ("leaking", "max", False), ("fixed", "max", True),
    ]  # fmt: skip


def test_references_are_in_si_units() -> None:
    found = references(scenario())
    assert found["leaking"] == {"etcd.keys_created": 2.37e6, "etcd.apply_seconds.max": 1.8}
    assert found["ratio"] == {"etcd.wal_bytes_written": 17.0}


def test_a_figure_that_no_run_reports_is_refused_before_the_run() -> None:
    check(scenario())
    with pytest.raises(InputError, match=r'objectives.x.figure: no run reports etcd.key_live; did you mean "etcd.keys_live"'):
        check(scenario(objectives={"x": {"figure": "etcd.key_live", "max": 1}}))
    with pytest.raises(InputError, match=r"reference.leaking: no run reports etcd.nothing"):
        check(scenario(reference={"leaking": {"etcd.nothing": 1}}))


def test_what_a_figure_is_worth() -> None:
    declared = scenario()
    assert standing(declared, "etcd.keys_created") == "fitted"
    assert standing(declared, "etcd.keys_created_per_hour") == "predicted"  # its name begins like the fitted one's
    assert standing(declared, "etcd.wal_bytes_written") == "assumed"  # the full stop after it is no part of the name
    assert standing(declared, "etcd.apply_seconds.p99") == "predicted"


def test_a_distribution_that_is_named_without_suffix_is_named_whole() -> None:
    declared = scenario(provenance={"etcd.quota": {"is": "assumed", "why": "decides etcd.apply_seconds, too"}})
    assert standing(declared, "etcd.apply_seconds.p99") == "assumed"
    assert standing(declared, "etcd.apply_execution_seconds.p99") == "predicted"


def test_parameters_keep_the_scenario_s_order() -> None:
    assert [(one.path, one.standing) for one in parameters(scenario())] == [
        ("horizon", "article"), ("background.nodes", "assumed"), ("etcd.quota", "fitted"),
    ]  # fmt: skip
