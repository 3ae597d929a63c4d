"""What each release does by default, as read in its source, and that a scenario may say otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sim.clientgo.priority_queue import PriorityQueue
from sim.clientgo.priority_queues import PRIORITY_QUEUES, priority_queue_for
from sim.scenario.controllers import Controller, resolve_stack
from sim.scenario.limiters import BucketLimiter, ExponentialLimiter, MaxOfLimiter
from sim.scenario.stacks import SOURCES, STACKS, Election, Stack
from sim.units import HOUR, MILLISECOND, MINUTE, SECOND, Nanoseconds, format_duration

PAGE = Path(__file__).parents[2] / "docs" / "stacks.md"
NAMING = {"name", "version", "releases", "built_on", "client_go", "election"}


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


def test_the_table_holds_every_release() -> None:
    names = [f"client-go-0.{minor}" for minor in range(20, 38)] + [f"controller-runtime-0.{minor}" for minor in range(6, 26)]
    assert list(STACKS)[: len(names)] == names
    assert {stack.family for stack in STACKS.values()} - {"client-go", "controller-runtime"} == {
        "operator-sdk", "ansible-operator", "helm-operator",
    }  # fmt: skip


@pytest.mark.parametrize("family", ["ansible-operator", "helm-operator"])
def test_every_release_of_an_operator_belongs_to_one_stack(family: str) -> None:
    covered = [release for stack in STACKS.values() if stack.family == family for release in span(stack)]
    assert covered == [f"0.{minor}" for minor in range(9, 20)] + [f"1.{minor}" for minor in range(43)]


def span(stack: Stack) -> Iterator[str]:
    first, _, last = stack.releases.partition("-")
    major, _, minor = first.partition(".")
    return (f"{major}.{number}" for number in range(int(minor), int((last or first).split(".")[1]) + 1))


@pytest.mark.parametrize(
    ("value", "first", "before", "after"),
    [
        ("lock", "controller-runtime-0.7", "configmaps", "configmapsleases"),
        ("lock", "controller-runtime-0.12", "configmapsleases", "leases"),
        ("pause_after_error", "controller-runtime-0.7", SECOND, 0),
        ("cache_sync_timeout", "controller-runtime-0.8", None, 2 * MINUTE),
        ("get_before_renewal", "controller-runtime-0.18", True, False),
        ("lock_timeout", "controller-runtime-0.18", None, 5 * SECOND),
        ("recover_panic", "controller-runtime-0.19", False, True),
        ("priority_queue", "controller-runtime-0.20", None, "0.20"),
        ("qps", "controller-runtime-0.21", 20.0, None),
        ("fifo", "controller-runtime-0.21", "delta", "real"),
        ("priority_queue", "controller-runtime-0.22", "0.20", "0.22"),
        ("priority_queue", "controller-runtime-0.23", "0.22", "0.23"),
        ("queue", "controller-runtime-0.23", "rate_limiting", "priority"),
        ("streaming_list", "controller-runtime-0.23", False, True),
        ("batches", "controller-runtime-0.23", False, True),
        ("atomic_fifo", "controller-runtime-0.24", False, True),
        ("event_apis", "controller-runtime-0.23", ("core",), ("core", "events.k8s.io")),
        ("get_before_renewal", "client-go-0.30", True, False),
        ("fifo", "client-go-0.33", "delta", "real"),
        ("streaming_list", "client-go-0.35", False, True),
        ("atomic_fifo", "client-go-0.36", False, True),
        ("reconcile_every", "ansible-operator-1.21", MINUTE, 10 * HOUR),
        ("workers", "ansible-operator-1.0", 1, "cpus"),
        ("lock", "ansible-operator-1.0", "leader-for-life", "configmaps"),
        ("lock", "ansible-operator-1.22", "configmaps", "configmapsleases"),
        ("lock", "ansible-operator-1.34", "configmapsleases", "leases"),
        ("lock", "helm-operator-1.34", "configmapsleases", "leases"),
        ("lock_timeout", "helm-operator-1.39", None, 5 * SECOND),
    ],
)
def test_what_a_release_changed(value: str, first: str, before: object, after: object) -> None:
    names = list(STACKS)
    releases = [STACKS[names[names.index(first) - 1]], STACKS[first]]
    assert releases[0].family == releases[1].family
    assert [read(stack, value) for stack in releases] == [before, after]


def read(stack: Stack, value: str) -> object:
    return getattr(stack.election if value in {field.name for field in fields(Election)} else stack, value)


def test_only_a_lease_that_is_renewed_has_clocks() -> None:
    for stack in STACKS.values():
        assert (stack.election is None) == (stack.lock == "leader-for-life")
        if stack.election is not None:
            clocks = (stack.election.lease, stack.election.renew_deadline, stack.election.retry_period)
            assert clocks == (15 * SECOND, 10 * SECOND, 2 * SECOND)
            assert not stack.election.release_on_cancel


def test_every_value_of_every_stack_has_a_source() -> None:
    values = ({field.name for field in (*fields(Stack), *fields(Election))} - NAMING) | set(SOURCES)
    for stack in STACKS.values():
        for value in values:
            library, version, file = stack.source(value).split(" ", 2)
            assert library in {"client-go", "controller-runtime", "operator-sdk", "ansible-operator-plugins"}
            assert version.removeprefix("v").split(".")[1].isdigit()
            assert ".go" in file or "pkg/controller" in file or "plugins/" in file or "util/workqueue" in file
    with pytest.raises(KeyError):
        STACKS["client-go-0.34"].source("colour")


@pytest.mark.parametrize(
    ("stack", "value", "source"),
    [
        ("controller-runtime-0.22", "client.qps", "controller-runtime v0.22.5 pkg/client/config/config.go"),
        ("helm-operator-1.34", "qps", "controller-runtime v0.16.3 pkg/client/config/config.go"),
        ("helm-operator-1.34", "get_before_renewal", "client-go 0.28 tools/leaderelection/leaderelection.go tryAcquireOrRenew"),
        ("ansible-operator-1.34", "workers", "ansible-operator-plugins v1.34.3 internal/ansible/flags/flag.go"),
        ("ansible-operator-0.18", "workers", "operator-sdk v0.19.4 pkg/ansible/flags/flag.go"),
        ("client-go-0.34", "watch_timeout", "client-go v0.34.10 tools/cache/reflector.go minWatchTimeout"),
    ],
)
def test_a_source_names_library_version_and_file(stack: str, value: str, source: str) -> None:
    assert STACKS[stack].source(value) == source


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("helm-operator-1.35", 'it behaves as "helm-operator-1.34"'),
        ("ansible-operator-0.19", 'it behaves as "ansible-operator-0.18"'),
        ("controller-runtime-0.32", 'did you mean "controller-runtime-0.23"?'),
        ("spring", "docs/stacks.md lists them"),
    ],
)
def test_an_unknown_stack_is_told_what_to_write(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        Controller(stack=name)


def test_each_release_with_a_priority_queue_has_a_class_for_it() -> None:
    for stack in STACKS.values():
        assert stack.has_priority_queue == (stack.priority_queue in PRIORITY_QUEUES)
        if stack.family == "controller-runtime" and stack.priority_queue is not None:
            release = (0, int(stack.releases.split(".")[1]))
            assert priority_queue_for(release) is PRIORITY_QUEUES[stack.priority_queue]
    assert priority_queue_for((0, 25)) is PriorityQueue


def test_the_page_shows_every_stack_as_it_is() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [row(stack) for stack in STACKS.values()]


def row(stack: Stack) -> str:
    """A stack's line of docs/stacks.md."""
    queue = "priority" if stack.queue == "priority" else "rate limiting"
    if stack.priority_queue is not None:
        queue += ("" if queue == "priority" else "; priority on request") + f" (rules of {stack.priority_queue})"
    fifo = stack.fifo + ", batches" * stack.batches + ", atomic" * stack.atomic_fifo
    election = stack.election
    renewal = "never"
    if election is not None:
        renewal = ("GET + UPDATE" if election.get_before_renewal else "UPDATE") + time(election.lock_timeout, "", ", timeout {}")
    cells = [
        f"`{stack.name}`",
        stack.built_on if "operator" in stack.name else f"client-go {stack.client_go}",
        "no limit" if stack.qps is None else f"{stack.qps:g}/{stack.burst}",
        queue,
        fifo,
        "stream" if stack.streaming_list else "LIST",
        "the program's" if stack.workers is None else str(stack.workers),
        time(stack.reconcile_every, "no"),
        "retried" if stack.recover_panic else "ends it",
        time(stack.pause_after_error or None, "no"),
        time(stack.cache_sync_timeout, "no"),
        time(stack.resync, "never") + (" ±10%" if stack.resync_jitter else ""),
        stack.lock,
        renewal,
    ]
    if "operator" in stack.name:
        cells[0] += f" ({stack.releases})"
    return f"| {' | '.join(cells)} |"


def time(value: Nanoseconds | None, absent: str, pattern: str = "{}") -> str:
    return absent if value is None else pattern.format(format_duration(value))


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
    assert found.origin.items() >= {
        "client.qps": "scenario",
        "client.burst": "scenario",
        "queue.kind": "controller-runtime-0.23",
        "queue.limiter": "scenario",
    }.items()
    assert resolved(stack="controller-runtime-0.15", client={"qps": "off"}).qps is None


def test_resync_and_election() -> None:
    assert resolved(stack="controller-runtime-0.19").resync == 10 * HOUR
    assert resolved(stack="client-go-0.34").resync is None
    election = resolved().election
    assert (election.lease, election.renew_deadline, election.retry_period) == (15 * SECOND, 10 * SECOND, 2 * SECOND)
    assert resolved(leader_election=False).election is None
