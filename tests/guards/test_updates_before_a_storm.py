"""A rollout whose pods are updated through the API server: webhooks, their failures and a full etcd hold it up."""

from __future__ import annotations

from typing import Any

import pytest
from guarded_world import ETCD, OBJECTS

import sim
from sim.scenario import from_dict

ROLLOUT = {"pods": 4, "writes": 1_000, "rate": "5000/s", "every": "1s", "updates": "pod"}
LOOK = {"match": "update pods", "latency": {"constant": "200ms"}}


def scenario(rollout: Any = None, as_: str = "cohorts", horizon: str = "3.5s", **sections: Any) -> Any:
    storm = {"kind": "storm", "as": as_, "gaps": "even", "object": "batch", "rollout": {**ROLLOUT, **(rollout or {})}}
    return from_dict({"horizon": horizon, "etcd": ETCD, "objects": OBJECTS, "apiservers": {"api": {}},
                      "background": {"nodes": 0, "leader_elections": 0}, "workloads": {"storm": storm}, **sections})  # fmt: skip


def run(*args: Any, **options: Any) -> sim.Run:
    return sim.run(scenario(*args, **options), workers=1)["default"]


DOWN = {"f": {"kind": "webhook_failure", "target": "webhooks.look", "at": "1.1s", "for": "10m"}}
CASES: dict[str, tuple[dict[str, Any], int]] = {
    # Begins are at 0, 1, 2, 3 s and the milliseconds of an update; with 200 ms more for each at 0.2, 1.4, 2.6, 3.8 s.
    "no webhook": ({}, 4),
    "one of 200 ms": ({"webhooks": {"look": LOOK}}, 3),
    "one that looks at something else": ({"webhooks": {"look": {**LOOK, "match": "create delete pods"}}}, 4),
    "two, one after the other": ({"webhooks": {name: {**LOOK, "kind": "mutating"} for name in ("look", "other")}}, 3),
    "one of 800 ms": ({"webhooks": {"look": {**LOOK, "latency": {"constant": "800ms"}}}}, 2),
    "one that is gone": ({"webhooks": {"look": LOOK}, "faults": DOWN}, 1),
    "one that is gone and may be": ({"webhooks": {"look": {**LOOK, "failure_policy": "ignore"}}, "faults": DOWN}, 3),
    "two pods at a time": ({"webhooks": {"look": LOOK}, "rollout": {"max_unavailable": 2}}, 4),
    "room between them": ({"rollout": {"min_ready": "300ms"}}, 3),
    "two stay": ({"rollout": {"partition": 2}}, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_so_many_successors_have_begun(case: str) -> None:
    settings, begun = CASES[case]
    found = run(**settings)
    assert found.metrics["storm.offered"] == 1_000 * begun == found.metrics["storm.accepted"]
    updates = found.writers["storm"]["puts"] - found.metrics["storm.accepted"]
    assert begun <= updates <= begun + 1  # the next one may be stored, its answer under way


def test_each_update_is_one_review() -> None:
    found = run(webhooks={"look": LOOK}, horizon="9s")
    assert found.metrics["apiserver.admission_seconds.count"] == 4
    assert found.metrics["apiserver.admission_seconds.max"] == pytest.approx(0.2, rel=0.02)


def test_cohorts_answer_as_single_requests_do() -> None:
    single, many = (run(as_=as_, webhooks={"look": LOOK}, rollout={"rate": "20000/s"}) for as_ in ("requests", "cohorts"))
    assert single.metrics["storm.accepted"] == 3_000
    differ = {name for name in single.metrics if single.metrics[name] != many.metrics[name]}
    assert {name for name in differ if "apply_tail_share" not in name} == set()
    assert single.series.compare(many.series).empty


def test_an_etcd_that_is_full_stops_the_rollout() -> None:
    full = run({"writes": 10_000, "rate": "20000/s"}, etcd={**ETCD, "quota": "4MB"}, horizon="6s")
    assert [incident.kind for incident in full.incidents] == ["quota"]
    assert full.metrics["storm.no_space"] > 0
    assert full.metrics["storm.offered"] < 40_000
    assert full.metrics["storm.offered"] % 10_000 == 0


@pytest.mark.parametrize(
    ("rollout", "sections", "said"),
    [
        ({"updates": "podd"}, {}, 'workloads.storm.rollout.updates: "podd" is not a declared object; did you mean "pod"'),
        ({"writes": 6_000}, {}, "workloads.storm.rollout.updates: .*is not allowed where a successor writes for longer"),
        ({}, {"apiservers": {}}, "apiservers: .*need at least one"),
    ],
)
def test_refusals(rollout: Any, sections: Any, said: str) -> None:
    with pytest.raises(sim.InputError, match=f"^{said}"):
        scenario(rollout, **sections)
