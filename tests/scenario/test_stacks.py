"""What each release does by default, as read in its source, and that a scenario may say otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from sim.scenario.controllers import Controller, resolve_stack
from sim.scenario.limiters import BucketLimiter, ExponentialLimiter, MaxOfLimiter
from sim.scenario.stacks import STACKS
from sim.units import HOUR, MILLISECOND, SECOND


def resolved(**fields: Any) -> Any:
    return resolve_stack(Controller(**fields))


@pytest.mark.parametrize(
    ("stack", "client_go", "qps", "burst", "queue", "fifo"),
    [
        ("client-go-0.34", "0.34", 5.0, 10, "rate_limiting", "real"),
        ("controller-runtime-0.15", "0.27", 20.0, 30, "rate_limiting", "delta"),
        ("controller-runtime-0.20", "0.32", 20.0, 30, "rate_limiting", "delta"),
        ("controller-runtime-0.21", "0.33", None, 10, "rate_limiting", "real"),
        ("controller-runtime-0.22", "0.34", None, 10, "rate_limiting", "real"),
        ("controller-runtime-0.23", "0.35", None, 10, "priority", "real"),
    ],
)
def test_a_release_decides_what_is_left_open(
    stack: str, client_go: str, qps: float | None, burst: int, queue: str, fifo: str
) -> None:
    found = resolved(stack=stack)
    assert (found.client_go, found.qps, found.burst, found.queue, found.fifo) == (client_go, qps, burst, queue, fifo)
    assert set(found.origin.values()) == {stack}


def test_the_table_holds_every_release_from_0_15_to_0_23() -> None:
    assert list(STACKS) == ["client-go-0.34", *(f"controller-runtime-0.{minor}" for minor in range(15, 24))]


def test_the_limiter_follows_the_kind_of_queue() -> None:
    both = MaxOfLimiter(limiters=(ExponentialLimiter(), BucketLimiter()))
    assert resolved(stack="controller-runtime-0.23").limiter == ExponentialLimiter(base="5ms", max="1000s")
    assert resolved(stack="controller-runtime-0.23", queue={"kind": "rate_limiting"}).limiter == both
    assert resolved(stack="controller-runtime-0.22").limiter == both
    assert resolved(stack="controller-runtime-0.22", queue={"kind": "priority"}).limiter == ExponentialLimiter()
    assert (both.limiters[0].base, both.limiters[0].max) == (5 * MILLISECOND, 1000 * SECOND)
    assert (both.limiters[1].rate, both.limiters[1].burst) == (10.0, 100)


def test_what_the_scenario_says_wins_and_is_told_apart() -> None:
    found = resolved(client={"qps": 20, "burst": 30}, queue={"limiter": {"kind": "bucket", "rate": "600/min"}})
    assert (found.qps, found.burst, found.limiter.rate) == (20.0, 30, 10.0)
    assert found.origin == {
        "client.qps": "scenario",
        "client.burst": "scenario",
        "queue.kind": "controller-runtime-0.23",
        "queue.limiter": "scenario",
    }
    assert resolved(stack="controller-runtime-0.15", client={"qps": "off"}).qps is None


def test_resync_and_election() -> None:
    assert resolved(stack="controller-runtime-0.19").resync == 10 * HOUR
    assert resolved(stack="client-go-0.34").resync is None
    election = resolved().election
    assert (election.lease, election.renew_deadline, election.retry_period) == (15 * SECOND, 10 * SECOND, 2 * SECOND)
    assert resolved(leader_election=False).election is None
