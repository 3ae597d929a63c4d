"""Admission webhooks: what they add to a write, and when they stop it.

Mutating webhooks are called one after the other, then the validating ones side by side; an update that the server retries on its
own calls them again. A webhook that takes longer than its timeout, or is not there, has failed: with the failure policy `fail` the
write is refused, with `ignore` it goes on.

Sources: apiserver pkg/admission/plugin/webhook/mutating/dispatcher.go, validating/dispatcher.go; api admissionregistration/v1
types.go (timeoutSeconds 10, failurePolicy Fail). Simplified: no re-invocation; a call that fails has
taken as long as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.units import Nanoseconds


@dataclass(slots=True)
class Webhook:
    """One webhook. operations: `create`, `update`, `delete`; resource: the kind of object, empty for all.

    latency: draws the time of a call, nanoseconds. failing, denying: share of the calls that then fail, or deny; `chance`
    draws from [0, 1), None where both are 0. down: whether every call fails now, None where that never happens.
    """

    operations: frozenset[str]
    resource: str
    mutating: bool
    latency: Callable[[], Nanoseconds]
    timeout: Nanoseconds
    fail_closed: bool
    failing: float = 0.0
    denying: float = 0.0
    chance: Callable[[], float] | None = None
    down: Callable[[], bool] | None = None
    calls: int = 0
    failures: int = 0
    denials: int = 0

    def matches(self, operation: str, resource: str) -> bool:
        """Whether it is called for this write."""
        return operation in self.operations and self.resource in ("", resource)

    def review(self) -> tuple[Nanoseconds, bool]:
        """One call: how long it takes, and whether the write may go on."""
        self.calls += 1
        took = self.latency()
        drawn = 1.0 if self.chance is None else self.chance()
        if drawn < self.failing or took > self.timeout or (self.down is not None and self.down()):
            self.failures += 1
            return min(took, self.timeout), not self.fail_closed
        if drawn < self.failing + self.denying:
            self.denials += 1
            return took, False
        return took, True


def review(webhooks: Sequence[Webhook], operation: str, resource: str) -> tuple[Nanoseconds, bool]:
    """All webhooks that match a write: the time until they have answered, and whether it may go on."""
    total: Nanoseconds = 0
    together: Nanoseconds = 0
    allowed = True
    for webhook in webhooks:
        if not webhook.matches(operation, resource):
            continue
        if webhook.mutating:
            took, allowed = webhook.review()
            total += took
            if not allowed:
                return total, False
    for webhook in webhooks:
        if not webhook.mutating and webhook.matches(operation, resource):
            took, passed = webhook.review()
            allowed = allowed and passed
            together = max(together, took)
    return total + together, allowed
