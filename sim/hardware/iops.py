"""What a cloud volume allows: operations per second, with credits for bursts (AWS gp2), or without (gp3, provisioned).

    baseline   operations a second for ever; credits are earned at this rate
    burst      operations a second at most, as long as there are credits
    credits    how many can be saved up, and there are at the start

An operation is up to `io_bytes` of neighbouring bytes. Who finds no credit waits until it is earned: the count goes below zero,
and later ones queue behind the debt, as in a token bucket.

Source: AWS, EBS volume types (gp2: 3 per GiB and second, at least 100; bursts of 3,000; 5.4 million credits, 30 minutes of it;
up to 256 KiB an operation).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.units import SECOND, Bytes, Nanoseconds


@dataclass(slots=True)
class Iops:
    """One device's allowance; all its users take from it. Rates per second."""

    baseline: float
    burst: float
    credits: float
    io_bytes: Bytes = 256 * 1024
    left: float = field(init=False)
    _next: Nanoseconds = field(default=0, init=False)
    _counted: Nanoseconds = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.left = self.credits

    def take(self, at: Nanoseconds, size: Bytes) -> Nanoseconds:
        """When `size` bytes that are written at `at` are let through."""
        operations = max(1, -(-size // self.io_bytes))
        if at > self._counted:
            self.left = min(self.credits, self.left + (at - self._counted) * self.baseline / SECOND)
            self._counted = at
        self.left -= operations
        earned = at if self.left >= 0 else at + round(-self.left * SECOND / self.baseline)
        begins = max(at, self._next)
        self._next = begins + round(operations * SECOND / self.burst)
        return max(begins, earned)
