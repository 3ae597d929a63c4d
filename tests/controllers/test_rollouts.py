"""A leaking controller is replaced process by process: what each schedule leaks, by the leak's law; a bad release is undone."""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, simulate

from sim.errors import InputError
from sim.scenario.rollouts import OBSERVED

EVERY, PERIOD = 2.0, 5.0
"""Seconds: an app is replaced; an entry is looked at again."""
LEAK = {"cache": {"on_delete": "keep-zero-value"}, "reconcile": {"every": f"{PERIOD}s", "on_zero_value": {"create": "junk"}}}
FIX = {"controller": "x", "to": {"cache.on_delete": "remove-key"}}


def leaks(horizon: float, steps=None, at: float = 120.0, to=None, **settings) -> dict[str, float]:
    """Ten processes, each with a tenth of the apps, of which one is replaced each two seconds."""
    rollouts = {} if steps is None else {"fix": {**FIX, "at": f"{at}s", "steps": steps, **({} if to is None else {"to": to})}}
    made = controller(shards=10, workers=50, **{**LEAK, **settings})
    objects = {"junk": {"key_bytes": 50, "value_bytes": 100}, "app": {"key_bytes": 50, "value_bytes": 100}}
    workload = apps(200, replace_every=f"{EVERY}s")
    run = simulate(f"{horizon}s", workloads=workload, controllers=made, rollouts=rollouts, objects=objects)
    return {**run.metrics, "leaked": run.writers.get("x", {}).get("keys_created", 0)}


def law(*spans: tuple[float, float, float]) -> float:
    """Keys by zero values of which each makes one a period: over spans from when to when, for a share of all entries."""
    return sum(share * (until**2 - since**2) for since, until, share in spans) / (2 * EVERY * PERIOD)


def test_each_schedule_leaks_what_the_law_of_the_leak_says():
    assert leaks(360)["leaked"] == pytest.approx(law((0, 360, 1)), rel=0.03)
    at_once = leaks(360, [{"100%": "0s"}])
    assert at_once["leaked"] == pytest.approx(law((0, 120, 1)), rel=0.08)
    assert at_once["cache.zero_value_keys"] == 0
    assert at_once["controller.restarts"] == 10
    canary = leaks(360, [{"10%": "60s"}, {"50%": "60s"}, {"100%": "0s"}])
    assert canary["leaked"] == pytest.approx(law((0, 120, 1), (120, 180, 0.9), (180, 240, 0.5)), rel=0.08)


def test_a_restart_alone_forgets_the_zero_values():
    """The map is memory: with the same release it fills anew."""
    again = leaks(360, [{"100%": "0s"}], to={"workers": 50})
    assert again["leaked"] == pytest.approx(law((0, 120, 1)) + law((0, 238, 1)), rel=0.08)


def test_a_rollout_in_halves_rounds_up():
    assert leaks(150, [{"15%": "0s"}])["controller.restarts"] == 2
    assert leaks(150, [{"0%": "10s"}])["controller.restarts"] == 0


def test_a_self_check_removes_what_it_finds_and_reports_what_it_leaves():
    """Each minute: the stock is a saw tooth, so of the leak remains one part in the number of minutes."""
    removed = leaks(360, self_check={"every": "60s", "on_found": "remove"})
    assert removed["leaked"] == pytest.approx(6 * law((0, 60, 1)), rel=0.1)
    assert removed["self_check.runs"] == 10 * (1 + 5)
    assert removed["self_check.found"] == removed["self_check.removed"] == pytest.approx(150, abs=10)
    reported = leaks(360, self_check={"every": "60s"})
    assert reported["leaked"] == pytest.approx(law((0, 360, 1)), rel=0.03)
    assert reported["self_check.removed"] == 0
    assert reported["self_check.found"] == pytest.approx(30 + 60 + 90 + 120 + 150, abs=40)


def test_a_self_check_at_the_start_finds_nothing_and_costs_a_comparison_an_entry():
    """The map is empty when its process starts, so its zero values are not there yet."""
    checked = leaks(360, self_check={"on_found": "remove"})
    assert checked["self_check.runs"] == 10
    assert checked["self_check.found"] == 0
    assert checked["leaked"] == pytest.approx(law((0, 360, 1)), rel=0.03)
    busy = leaks(100, self_check={"every": "10s", "nanoseconds": 1000}, cache={"on_delete": "remove-key"})
    assert busy["self_check.cpu_seconds"] == pytest.approx(10 * 200 * 1e-6, rel=0.05)  # ten looks at two hundred live entries


WRITES = {"writes": {"status": {"verb": "update", "sets": "generation"}}}


def released(errors: float, rollback: bool = True, **objective):
    """A release some of whose reconciles fail, in halves; users change an app each 200 ms."""
    rollout = {"controller": "x", "at": "20s", "to": {"reconcile.errors": errors}, "steps": [{"50%": "20s"}, {"100%": "0s"}]}
    watches = {"apps": {"predicate": "generation_changed"}}
    made = controller(shards=4, watches=watches, reconcile=WRITES)
    return simulate(
        "60s", workloads=apps(100, change_every="200ms"), controllers=made,
        rollouts={"next": {**rollout, **({"rollback_on": "objectives.well"} if rollback else {})}},
        objectives={"well": objective or {"figure": "controller.failing_keys", "max": 10}},
    )  # fmt: skip


def test_a_bad_release_is_undone_after_its_first_step():
    run = released(1.0)
    told = [(incident.at_seconds, incident.about) for incident in run.incidents if incident.kind == "rollout"]
    assert told[0][1] == "next: 2 of 4 processes have the new release"
    assert len(told) == 2
    assert "rolled back, controller.failing_keys is" in told[1][1]
    assert 22 < told[1][0] < 40
    assert run.metrics["rollout.rolled_back"] == 1
    assert run.metrics["controller.restarts"] == 4  # two, there and back
    assert run.metrics["controller.failing_keys"] == 0
    assert released(1.0, rollback=False).metrics["controller.failing_keys"] > 50


def test_a_good_release_goes_all_the_way():
    run = released(0.0)
    assert run.metrics["rollout.rolled_back"] == 0
    assert run.metrics["controller.restarts"] == 4


def test_what_may_undo_a_rollout_is_observed_all_through_a_run():
    assert set(OBSERVED) <= set(released(0.0).series.columns)


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        ({"controller": "y"}, 'rollouts.fix.controller: "y" is not a declared controller; declared: x'),
        ({"to": {"client.qps": 5}}, "rollouts.fix.to.client.qps: cannot be rolled out; what may differ: cache, max_retries"),
        ({"to": {"cache.on_delet": "remove-key"}}, "rollouts.fix.to: controllers.x.cache.on_delet: unknown key"),
        ({"to": {"cache.on_delete": "remove"}}, 'rollouts.fix.to: controllers.x.cache.on_delete: "remove" is not allowed'),
        ({"steps": []}, 'rollouts.fix.steps: "[]" are no steps; write them such as'),
        ({"steps": [{"50%": "1m"}, {"10%": "0s"}]}, 'rollouts.fix.steps: "10%" comes after a larger share'),
        ({"steps": [{"110%": "1m"}]}, 'rollouts.fix.steps: "110%" is not a fraction'),
        ({"steps": [{"10%": "1m", "20%": "1m"}]}, "is no step; write them such as"),
        ({"rollback_on": "well"}, 'rollouts.fix.rollback_on: "well" is not a declared objective'),
    ],
)
def test_bad_rollouts_are_refused(rollout, said):
    made = controller(**LEAK)
    with pytest.raises(InputError) as refused:
        simulate(
            "1m", workloads=apps(5), controllers=made, rollouts={"fix": {**FIX, **rollout}},
            objects={"junk": {"key_bytes": 9, "value_bytes": 9}, "app": {"key_bytes": 9, "value_bytes": 9}},
        )  # fmt: skip
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_figure_of_the_end_cannot_undo_a_rollout():
    with pytest.raises(InputError, match=r'rollback_on: "well" is about etcd.writes_per_batch, which is known at the end only'):
        released(0.0, figure="etcd.writes_per_batch", max=3)


def test_a_release_may_begin_to_record_events_and_another_may_stop():
    watches = {"apps": {"predicate": "generation_changed"}}
    for before, after in (({}, {"events": {}}), ({"events": {}}, {"events": None})):
        made = controller(watches=watches, reconcile={**WRITES, **before})
        rollout = {"next": {"controller": "x", "at": "30s", "to": {f"reconcile.{name}": value for name, value in after.items()}}}
        run = simulate("60s", workloads=apps(10, change_every="1s"), controllers=made, rollouts=rollout)
        assert run.metrics["events.recorded"] == pytest.approx(40, abs=3)  # ten of a first list, and a change a second for 30 s


@pytest.mark.parametrize(("release", "least", "most"), [(False, 15, 19.4), (True, 0, 5)])
def test_a_replaced_leader_gives_its_lease_up_where_its_manager_is_told_to(release, least, most):
    """Else a standby waits until the lease has not changed for 15 s, and looks every 2 to 4.4 s."""
    watches = {"apps": {"predicate": "generation_changed"}}
    made = controller(
        leader_election=True, standby=1, watches=watches, reconcile=WRITES, election={"release_on_cancel": release}
    )
    rollout = {"next": {"controller": "x", "at": "30s", "to": {"workers": 2}}}
    run = simulate("2m", workloads=apps(10, change_every="1s"), controllers=made, rollouts=rollout)
    assert least <= run.metrics["leader_election.leaderless_seconds"] <= most
    assert run.metrics["leader_election.changes"] == 1
    assert run.metrics["controller.restarts"] == 1
    assert run.metrics["workqueue.depth.max"] <= 20
