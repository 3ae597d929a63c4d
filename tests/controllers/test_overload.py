"""An API server that is asked for more than it has seats for (facts 5.3): who waits, who is turned away, who is not harmed.

60 requests in flight are the seats of all levels: of 245 shares workload-low has 100, so 25 seats, and may borrow what others lend:
a third of system's 8, a quarter of node-high's 10, half of workload-high's 10 and of global-default's 5: 13 at most. A webhook
of 500 ms makes each write hold its seat for 0.5027 s. 300 clients write, as many users; 50 nodes renew a lease each 10 s and report
their status each 5 min: 310 writes in a minute.
"""

from __future__ import annotations

import pytest
from small_cluster import apps, controller, leads_lost_and_won, simulate

HELD = 0.5 + 1e-3 + 1.7e-3
SEATS, BORROWED = 25, 13
BEATS = 50 * 60 / 10 + 50 * 60 / 300
SLOW = {"slow": {"match": "update apps", "latency": {"constant": "500ms"}}}
FEW = {"reads": 40, "writes": 20}


def crowd(flow_control, clients=300, horizon="1m", **sections):
    workload = {"kind": "writers", "object": "app", "clients": clients, "objects": clients, "think": {"constant": "1ms"}}
    return simulate(
        horizon, server={"flow_control": flow_control, "in_flight": FEW}, background={"nodes": 50},
        workloads={**apps(), "crowd": workload}, webhooks=SLOW, **sections,
    )  # fmt: skip


def beats(run) -> float:
    return run.writers["node-heartbeats"]["puts"]


def test_a_crowd_fills_its_own_level_and_harms_no_node():
    run = crowd({})
    done = run.metrics["writes.succeeded"]
    assert (SEATS - 2) * 60 / HELD < done < (SEATS + BORROWED) * 60 / HELD
    # Whoever waits has the others before it: 300 writes of which 33 or so at a time are served.
    assert run.metrics["apiserver.seat_wait_seconds.max"] < 15
    assert run.metrics["apiserver.throttled"] == 0
    assert beats(run) == pytest.approx(BEATS, abs=3)


def test_without_fairness_everybody_is_turned_away():
    """20 writes at a time; the others hear 429 and Retry-After 1, ten times, and give up: nodes too."""
    run = crowd("off")
    # A seat is free until somebody comes to ask: less than a tenth of the time.
    assert 0.9 * 20 * 60 / HELD < run.metrics["writes.succeeded"] < 20 * 60 / HELD
    assert run.metrics["apiserver.throttled"] > 10 * run.metrics["apiserver.rejected"] > 0
    assert run.metrics["apiserver.request_seconds.max"] == pytest.approx(10 + HELD, abs=0.05)
    assert beats(run) < 0.95 * BEATS
    assert run.metrics["apiserver.seat_wait_seconds.count"] == 0


def test_fewer_shares_are_fewer_seats():
    """5 shares of 150 are 2 seats of 60, without borrowing 119 a second; who waits longer than 15 s hears 429."""
    run = crowd({"workload-low": {"shares": 5, "borrowing_limit": 0}})
    reads = run.metrics["apiserver.etcd_reads"] * 2e-3  # seconds that a seat is held by the clients' reads
    assert run.metrics["writes.succeeded"] == pytest.approx((2 * 60 - reads) / HELD, rel=0.2)
    assert run.metrics["writes.succeeded"] < 2 * 60 / HELD
    assert run.metrics["apiserver.seat_wait_seconds.max"] == 15
    assert run.metrics["apiserver.throttled"] > 0
    assert beats(run) == pytest.approx(BEATS, abs=3)
    borrowing = crowd({"workload-low": {"shares": 5}})  # what the nodes' level lends
    assert borrowing.metrics["writes.succeeded"] > 5 * run.metrics["writes.succeeded"]


def test_an_operators_lease_is_workload_low():
    """Facts 5.3: an overload of the level costs a third-party operator its lease; a level of its own would not."""
    own = crowd({}, clients=900, controllers=controller(leader_election=True, count=3))
    lost, _ = leads_lost_and_won(own)
    assert lost
    level = {"priority_level": "leader-election"}
    privileged = crowd({}, clients=900, controllers=controller(leader_election=True, count=3, client=level))
    assert leads_lost_and_won(privileged) == ([], [])
    alone = crowd({}, clients=5, controllers=controller(leader_election=True))
    assert leads_lost_and_won(alone) == ([], [])


def writing(**settings):
    return controller(workers=10, reconcile={"writes": {"status": {"verb": "update"}}}, **settings)


def test_a_client_sends_again_what_was_turned_away():
    """catch-all has no queue: 2 of 60 seats and 429 at once. Each 429 is sent again but for those that are asleep at the end."""
    run = simulate(
        "30s", server={"in_flight": FEW}, workloads=apps(), webhooks=SLOW,
        controllers=writing(client={"priority_level": "catch-all"}),
    )  # fmt: skip
    asleep = run.metrics["apiserver.throttled"] - run.metrics["rest_client.resent"]
    assert run.metrics["rest_client.resent"] > 0
    assert 0 <= asleep <= 10
    assert run.metrics["apiserver.rejected"] == run.metrics["controller.errors"] == 0
    requests = run.metrics["writes.requests"] + run.metrics["rest_client.resent"] + 1  # and the first watch
    assert run.metrics["rest_client.requests"] == requests


def test_after_ten_more_tries_it_is_an_error():
    """One queue of 3 for 2 seats and 10 workers; a 429 costs a second or more, eleven of them the reconcile."""
    narrow = {"workload-low": {"shares": 5, "borrowing_limit": 0, "queues": 1, "hand_size": 1, "queue_length": 3}}
    run = simulate("1m", server={"in_flight": FEW, "flow_control": narrow}, workloads=apps(), webhooks=SLOW, controllers=writing())
    errors = run.metrics["controller.errors"]
    assert errors == run.metrics["apiserver.rejected"] > 0
    assert run.metrics["apiserver.throttled"] == pytest.approx(run.metrics["rest_client.resent"] + errors, abs=10)
    assert run.metrics["writes.succeeded"] == pytest.approx(2 * 60 / HELD, rel=0.35)


def test_plenty_of_seats_and_nobody_waits():
    run = simulate("10s", workloads=apps(), webhooks=SLOW, controllers=writing(), background={"nodes": 50})
    assert run.metrics["apiserver.throttled"] == run.metrics["apiserver.seat_wait_seconds.count"] == 0
    # Ten workers, ten objects: a turn is the work, the wait for the webhook and the way.
    assert run.metrics["writes.succeeded"] == pytest.approx(10 * 10 / (HELD + 4e-3), rel=0.05)
