"""Elected controllers in a whole cluster: what costs a leader its lease, who follows it, and how long nobody leads.

A leader renews every 2 s. Its next round starts up to 2 s after the beginning of an outage and lasts 10 s, so it stops 10 to 12 s
after that beginning. A standby looks every 2 to 4.4 s; it counts 15 s from when it has seen the last renewal, and looks again: it
leads 15 to 15 + 2 * 4.4 s after that renewal, where the API server is there all the time.

Source: facts 3.2 (client-go tools/leaderelection/leaderelection.go).
"""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, leads_lost_and_won, simulate, times

LEASE, DEADLINE, RETRY, SLOWEST = 15.0, 10.0, 2.0, 4.4
RESTART = 2.0
FIRST_LEAD = 1.1
"""When somebody leads for the first time, at the latest: a phase below 1 s, a GET and a CREATE."""

OUTAGE, STALL = ("apiserver_outage", "apiservers.api"), ("disk_stall", "members.a")
PATIENT = {"flags": {"election-timeout": "30s"}}
"""etcd's own leader outlasts a stall of its disk."""


def elected(**settings):
    return controller(**{"leader_election": True, "standby": 1, "reconcile": {"every": "1s"}, **settings})


def faulty(kind: str, target: str, lasts: float, at: float = 60.0):
    return {"fault": {"kind": kind, "target": target, "at": at, "for": lasts}}


@pytest.mark.parametrize("fault", [OUTAGE, STALL])
def test_a_fault_of_8_s_costs_no_lease(fault):
    run = simulate("2m", workloads=apps(), controllers=elected(), faults=faulty(*fault, lasts=8), etcd=PATIENT)
    assert times(run, "leader_election") == []
    assert run.metrics["leader_election.changes"] == run.metrics["controller.restarts"] == 0
    assert run.metrics["leader_election.leaderless_seconds"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("fault", [OUTAGE, STALL])
def test_a_fault_of_14_s_costs_the_lead(fault, seed):
    run = simulate("2m", workloads=apps(), controllers=elected(), faults=faulty(*fault, lasts=14), seed=seed, etcd=PATIENT)
    (lost,), (won,) = leads_lost_and_won(run)
    assert 60 + DEADLINE - 0.1 <= lost <= 60 + DEADLINE + RETRY + 0.1
    # Who stands has not seen the last renewal before the fault, or a stalled one is applied after it: 15 s from a look after it;
    # or has seen it up to 4.4 s late.
    assert 60 - RETRY + LEASE <= won <= 74 + 5 + SLOWEST + LEASE + SLOWEST
    assert run.metrics["leader_election.changes"] == run.metrics["controller.restarts"] == 1
    assert run.metrics["leader_election.leaderless_seconds"] == pytest.approx(won - lost)
    assert run.metrics["leader_election.two_leaders_seconds"] == 0
    # Ten keys once a second, but while nobody leads.
    assert run.metrics["controller.reconciles"] == pytest.approx(10 * (120 - FIRST_LEAD - (won - lost)), rel=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_standby_of_a_leader_cut_off_alone_takes_over_in_time(seed):
    """The leader's API server is gone, the standby's is there."""
    run = simulate(
        "2m", workloads=apps(), controllers=elected(restart="10m"), apiservers={"api": {}, "other": {}}, seed=seed,
        faults=faulty("apiserver_outage", "apiservers.other", lasts=60),
    )  # fmt: skip
    (lost,), (won,) = leads_lost_and_won(run)
    assert 70 - 0.1 <= lost <= 72 + 0.1
    renewed = lost - DEADLINE - RETRY
    assert renewed + LEASE <= won <= renewed + LEASE + 2 * SLOWEST + 0.1
    assert run.metrics["leader_election.two_leaders_seconds"] == 0


def test_a_lease_hardly_longer_than_the_deadline_gives_two_leaders():
    """A leader stops up to 2 s and the deadline after its last renewal; with a lease of 10.5 s another may lead 1.5 s before."""
    overlaps = []
    for seed in range(8):
        run = simulate(
            "2m", workloads=apps(), controllers=elected(election={"lease_duration": "10.5s"}, restart="10m"), seed=seed,
            apiservers={"api": {}, "other": {}}, faults=faulty("apiserver_outage", "apiservers.other", lasts=60),
        )  # fmt: skip
        overlaps.append(run.metrics["leader_election.two_leaders_seconds"])
    assert max(overlaps) > 0
    assert all(overlap <= DEADLINE + RETRY - 10.5 + 0.02 for overlap in overlaps)


def test_a_lease_that_is_given_up_is_taken_at_once():
    """The disk stalls for 12.5 s: the release waits for it, then the next look of anybody wins."""
    kept = simulate("2m", workloads=apps(), controllers=elected(), faults=faulty(*STALL, lasts=12.5), etcd=PATIENT)
    given = simulate(
        "2m", workloads=apps(), controllers=elected(election={"release_on_cancel": True}), etcd=PATIENT,
        faults=faulty(*STALL, lasts=12.5),
    )  # fmt: skip
    assert kept.metrics["leader_election.leaderless_seconds"] > LEASE - 1.6
    assert 0 < given.metrics["leader_election.leaderless_seconds"] <= SLOWEST
    assert given.metrics["leader_election.two_leaders_seconds"] < 0.1


def test_who_panics_leaves_its_lease_behind():
    """Every reconcile panics and nobody recovers it: a tenth of a second of lead, then 15 s or more without."""
    run = simulate(
        "3m", workloads=apps(), controllers=elected(stack="controller-runtime-0.18", reconcile={"every": "1s", "panics": 1.0})
    )
    lost, won = leads_lost_and_won(run)
    assert len(won) >= 5
    for left, led in zip(lost, won, strict=False):
        assert led - left > LEASE - 0.2  # its lease was renewed at most 0.2 s before the end
    for left, led in list(zip(lost, won, strict=False))[:4]:  # later both wait for the kubelet
        assert led - left < LEASE + 2 * SLOWEST
    leads = len(lost)
    assert run.metrics["controller.panics"] == run.metrics["controller.errors"] == leads
    assert run.metrics["leader_election.leaderless_seconds"] == pytest.approx(180 - 0.11 * leads, abs=2)


def test_a_full_database_costs_every_elected_controller_its_lease():
    """NOSPACE refuses every put, the renewal of a lease too: leaders stop 10 to 12 s later, and nobody leads any more."""
    controllers = {**elected(), "y": elected(stack="controller-runtime-0.18", standby=0)["x"]}
    raw = {"raw": {"clients": 1, "think": "10ms", "value_bytes": 10000}}
    run = simulate("2m", workloads=apps(), controllers=controllers, etcd={"quota": "20MiB"}, clients=raw)
    (full,) = times(run, "quota")
    lost, won = leads_lost_and_won(run)
    assert (len(lost), won) == (2, [])
    assert all(full + DEADLINE - 0.1 <= at <= full + DEADLINE + RETRY + 0.1 for at in lost)
    assert run.metrics["leader_election.leaderless_seconds"] == pytest.approx(sum(120 - at for at in lost))

    roomy = simulate("2m", workloads=apps(), controllers=controllers, etcd={"quota": "200MiB"}, clients=raw)
    assert times(roomy, "leader_election") == []


def test_a_renewal_is_a_write_every_2_s():
    """Facts 3.2: period 2 s + latency; before client-go 0.30 each has a GET before it."""
    fast = simulate("2m", workloads=apps(), controllers=elected(standby=0))
    slow = simulate("2m", workloads=apps(), controllers=elected(standby=0, stack="controller-runtime-0.15"))
    for run in (fast, slow):
        # CREATE, the first renewal in the same instant, then one each 2 s; and the Event that it leads
        assert run.writers["x"]["puts"] == pytest.approx(119.5 / 2.004 + 3, abs=1.5)
    assert slow.metrics["apiserver.etcd_reads"] - fast.metrics["apiserver.etcd_reads"] == pytest.approx(60, abs=2)


def test_a_standby_reads_the_lease_every_3_2_s():
    alone = simulate("5m", workloads=apps(), controllers=elected(standby=0))
    watched = simulate("5m", workloads=apps(), controllers=elected(standby=2))
    reads = watched.metrics["apiserver.etcd_reads"] - alone.metrics["apiserver.etcd_reads"]
    assert reads == pytest.approx(2 * 299 / 3.2, rel=0.1)  # uniform in 2 to 4.4 s
    assert watched.writers["x"]["puts"] == alone.writers["x"]["puts"]  # who stands writes nothing
    assert watched.metrics["watch.events_sent"] == alone.metrics["watch.events_sent"]  # and has no informer yet


def test_who_never_leads_is_leaderless_from_the_start():
    """The etcd of a cluster that is full before the first lease: no CREATE, no lead, no reconcile."""
    run = simulate("1m", workloads=apps(), controllers=elected(), etcd={"quota": "1MiB", "preload": {"app": 2000}})
    assert run.metrics["leader_election.leaderless_seconds"] == 60
    assert run.metrics["controller.reconciles"] == 0
    fine = simulate("1m", workloads=apps(), controllers=elected(), etcd={"preload": {"app": 2000}})
    assert fine.metrics["leader_election.leaderless_seconds"] == 0
