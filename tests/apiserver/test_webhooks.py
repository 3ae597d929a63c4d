"""Admission webhooks: mutating ones in turn, validating ones side by side, and what a failure does."""

from __future__ import annotations

from itertools import cycle

import pytest

from sim.apiserver.webhooks import Webhook, review
from sim.units import MILLISECOND, SECOND

WRITES = frozenset({"create", "update"})


def webhook(*latencies_ms, mutating=False, fail_closed=True, drawn=None, **options):
    latencies = cycle(latency * MILLISECOND for latency in latencies_ms)
    draws = None if drawn is None else cycle([drawn]).__next__
    settings = {"operations": WRITES, "resource": "", "timeout": 10 * SECOND, "chance": draws} | options
    return Webhook(mutating=mutating, latency=latencies.__next__, fail_closed=fail_closed, **settings)


def answered(*webhooks, operation="update", resource="pods"):
    """Milliseconds, and whether the write may go on."""
    took, allowed = review(webhooks, operation, resource)
    return took / MILLISECOND, allowed


@pytest.mark.parametrize(
    ("webhooks", "took"),
    [
        ([], 0),
        ([{"mutating": True, "at": 5}], 5),
        ([{"mutating": True, "at": 5}, {"mutating": True, "at": 7}], 12),
        ([{"at": 5}, {"at": 7}, {"at": 3}], 7),
        ([{"at": 9}, {"mutating": True, "at": 5}, {"at": 4}, {"mutating": True, "at": 6}], 20),
    ],
    ids=["none", "one", "mutating in turn", "validating side by side", "mutating first, in whatever order they are declared"],
)
def test_time_until_all_have_answered(webhooks, took):
    hooks = [webhook(one["at"], mutating=one.get("mutating", False)) for one in webhooks]
    assert answered(*hooks) == (took, True)
    assert [hook.calls for hook in hooks] == [1] * len(hooks)


@pytest.mark.parametrize(
    ("operation", "resource", "called"),
    [("update", "pods", True), ("create", "pods", True), ("delete", "pods", False), ("update", "leases", False)],
)
def test_only_who_asked_for_it_is_called(operation, resource, called):
    hooks = [webhook(5, mutating=mutating, resource="pods") for mutating in (True, False)]
    assert answered(*hooks, operation=operation, resource=resource) == (10 if called else 0, True)
    assert [hook.calls for hook in hooks] == [int(called)] * 2


@pytest.mark.parametrize("mutating", [True, False])
@pytest.mark.parametrize("fail_closed", [True, False])
def test_a_slow_webhook_costs_its_timeout_and_then_its_policy_decides(mutating, fail_closed):
    hook = webhook(30_000, mutating=mutating, fail_closed=fail_closed)
    assert answered(hook) == (10_000, not fail_closed)
    assert (hook.calls, hook.failures, hook.denials) == (1, 1, 0)


def test_an_answer_in_time_is_an_answer():
    hook = webhook(10_000)
    assert answered(hook) == (10_000, True)
    assert hook.failures == 0


@pytest.mark.parametrize("mutating", [True, False])
@pytest.mark.parametrize(
    ("drawn", "counts", "open_", "closed"),
    [(0.05, (1, 0), True, False), (0.15, (0, 1), False, False), (0.5, (0, 0), True, True)],
    ids=["fails", "denies", "allows"],
)
def test_a_failure_is_its_policys_and_a_denial_is_final(mutating, drawn, counts, open_, closed):
    for fail_closed, allowed in ((False, open_), (True, closed)):
        hook = webhook(5, mutating=mutating, fail_closed=fail_closed, drawn=drawn, failing=0.1, denying=0.2)
        assert answered(hook) == (5, allowed)
        assert (hook.failures, hook.denials) == counts


def test_a_mutating_webhook_that_stops_a_write_is_the_last_one_called():
    first, second, validating = webhook(5, mutating=True, drawn=0.0, denying=1.0), webhook(7, mutating=True), webhook(9)
    assert answered(first, second, validating) == (5, False)
    assert (second.calls, validating.calls) == (0, 0)


def test_a_validating_webhook_that_stops_a_write_is_waited_for_with_the_others():
    denies, slow = webhook(5, drawn=0.0, denying=1.0), webhook(9)
    assert answered(denies, slow) == (9, False)
    assert slow.calls == 1


def test_one_that_lets_go_does_not_heal_one_that_stopped_it():
    assert answered(webhook(5, drawn=0.0, denying=1.0), webhook(6)) == (6, False)


def test_failing_open_goes_on_to_the_next():
    down, next_one = webhook(30_000, mutating=True, fail_closed=False, timeout=SECOND), webhook(7, mutating=True)
    assert answered(down, next_one) == (1007, True)


def test_a_retried_update_pays_again():
    hook = webhook(5, 8, mutating=True)
    assert [answered(hook) for _ in range(2)] == [(5, True), (8, True)]
