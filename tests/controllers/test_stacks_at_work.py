"""One scenario under several releases: what docs/stacks.md says of them is what they do."""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, leads_lost_and_won, simulate

STACKS = (
    "controller-runtime-0.15", "controller-runtime-0.20", "controller-runtime-0.23", "client-go-0.34", "ansible-operator-1.34",
    "operator-sdk-0.18",
)  # fmt: skip
OBJECTS, CHANGES = 100, 179
LIFE = "operator-sdk-0.18"

_runs = {}


def at_work(stack: str):
    """Three minutes: a status for each of 100 objects and for each change of one, one a second; a leader and a standby."""
    if stack not in _runs:
        reconcile = {"writes": {"status": {"sets": "generation", "verb": "merge_patch"}}}
        own = controller(stack=stack, cpus=4, leader_election=True, standby=1, reconcile=reconcile)
        _runs[stack] = simulate("3m", workloads=apps(OBJECTS, change_every="1s"), controllers=own)
    return _runs[stack]


@pytest.mark.parametrize("stack", STACKS)
def test_it_does_its_work(stack):
    run = at_work(stack)
    assert run.metrics["controllers.x.writes.succeeded"] - run.metrics["writes.unchanged"] >= OBJECTS + CHANGES - 12
    assert run.metrics["controller.errors"] == run.metrics["controller.restarts"] == 0
    assert run.metrics["leader_election.leaderless_seconds"] == run.metrics["leader_election.two_leaders_seconds"] == 0
    assert leads_lost_and_won(run) == ([], [])
    assert run.metrics["watch.events_sent"] < 1.1 * (OBJECTS + 2 * (OBJECTS + CHANGES))  # one of two processes watches


def test_how_often_a_lease_is_written():
    """Every 2 s; a lock for life once. Its Event apart (operator-sdk's tells nobody)."""
    for stack in STACKS:
        run = at_work(stack)
        own = run.writers["x"]["puts"] - (run.metrics["writes.succeeded"] - run.metrics["writes.unchanged"])
        assert own == pytest.approx(1 if stack == LIFE else 179 / 2.005 + 3, abs=2)
        assert run.metrics["etcd.keys_created"] == (1 if stack == LIFE else 2)


def test_who_reads_the_lease_before_each_renewal():
    """GET + UPDATE before client-go 0.30: 90 reads more in three minutes than the standby's 55."""
    reads = {stack: at_work(stack).metrics["apiserver.etcd_reads"] - at_work(stack).metrics["writes.unchanged"] for stack in STACKS}
    for stack in ("controller-runtime-0.20", "controller-runtime-0.23", "client-go-0.34"):
        assert reads[stack] == pytest.approx(178 / 3.2 + 2, rel=0.15)
    for stack in ("controller-runtime-0.15", "ansible-operator-1.34"):
        assert reads[stack] == pytest.approx(178 / 3.2 + 90, rel=0.1)
    assert reads[LIFE] <= 4


def test_a_candidate_for_life_tries_ever_more_slowly():
    """After 1, 2, 4, 8, then every 16 s, times 1 to 1.2: fourteen refused creates in three minutes, each an entry of the log."""
    run = at_work(LIFE)
    assert run.writers["x"]["conflicts"] == pytest.approx(4 + (178 - 15 * 1.1) / (16 * 1.1), abs=2)


def test_how_many_work_at_a_time():
    """cpus is one worker per core, for the ansible operator."""
    for stack in STACKS:
        assert at_work(stack).metrics["controller.workers_busy.max"] == (4 if stack == "ansible-operator-1.34" else 1)


def test_how_long_the_first_hundred_take():
    """After a burst of 30 (10) the limiter's pace: the last of the 200 runs that the first list causes waits for it."""
    waits = {stack: at_work(stack).metrics["rest_client.rate_limiter_seconds.max"] for stack in STACKS}
    for stack in ("controller-runtime-0.15", "controller-runtime-0.20", LIFE):
        assert waits[stack] == pytest.approx(1 / 20, rel=0.1)  # one worker: one request at a time
    assert waits["ansible-operator-1.34"] == pytest.approx(4 / 20, rel=0.1)
    assert waits["client-go-0.34"] == pytest.approx(1 / 5, rel=0.1)
    none = at_work("controller-runtime-0.23").metrics["rest_client.rate_limiter_seconds.count"]
    assert none == 0


def test_how_the_first_list_comes():
    """A stream is a read of etcd and one request; a list at version 0 is answered by the cache, and then watched."""
    listed, streamed = (
        simulate("10s", workloads=apps(OBJECTS), controllers=controller(stack=stack)).metrics
        for stack in ("controller-runtime-0.22", "controller-runtime-0.23")
    )
    assert (listed["rest_client.requests"], listed["apiserver.etcd_reads"], listed["watch.events_sent"]) == (2, 0, 0)
    assert (streamed["rest_client.requests"], streamed["apiserver.etcd_reads"], streamed["watch.events_sent"]) == (1, 1, OBJECTS)


def test_an_ansible_operator_looks_at_everything_again():
    """After 1 min up to 1.20, after 10 h from 1.21 on."""
    for stack, runs in (("ansible-operator-1.17", 3), ("ansible-operator-1.34", 1)):
        run = simulate("2.5m", workloads=apps(OBJECTS), controllers=controller(stack=stack))
        assert run.metrics["controller.reconciles"] == runs * OBJECTS


def test_two_objects_or_one():
    """configmapsleases (controller-runtime 0.7 to 0.11): GET, GET, UPDATE, GET, UPDATE at each renewal, not GET, UPDATE."""
    two, one = (
        simulate("2m", workloads=apps(1), controllers=controller(stack=stack, leader_election=True))
        for stack in ("controller-runtime-0.11", "controller-runtime-0.12")
    )
    assert two.metrics["controller.restarts"] == one.metrics["controller.restarts"] == 0
    assert one.writers["x"]["puts"] == pytest.approx(119 / 2 + 3, abs=2)
    assert two.writers["x"]["puts"] == pytest.approx(2 * (one.writers["x"]["puts"] - 1) + 1, abs=3)
    assert two.metrics["apiserver.etcd_reads"] == pytest.approx(3 * one.metrics["apiserver.etcd_reads"], abs=4)


def test_a_crashed_leader_for_life_leads_again():
    """It finds its own name in the lock; the standby never has a chance (its pod goes on)."""
    own = controller(stack=LIFE, leader_election=True, standby=1, reconcile={"panics": 1.0})
    run = simulate("1m", workloads=apps(1), controllers=own)
    lost, won = leads_lost_and_won(run)
    assert len(lost) == run.metrics["controller.panics"] == 4
    assert all(" x-0-0 " in f" {incident.about} " for incident in run.incidents)
    assert [round(led - left) for left, led in zip(lost, won, strict=False)] == [2, 12, 22]
    assert run.metrics["etcd.keys_created"] == 1


def test_a_standby_needs_a_lease_to_wait_for():
    from sim.errors import InputError

    with pytest.raises(InputError, match="a standby waits for a lease"):
        simulate("1m", workloads=apps(1), controllers=controller(standby=1))
