"""A write limiter in etcd's gRPC layer: a bucket a method, ranks of key prefixes, and a control loop over the rate.

    admits   a write of a limited method takes a token of that method's bucket, or is refused (ResourceExhausted); all else passes
    rank     1 comes first: rank r may take a token only while more than (r - 1) / ranks of the capacity would be left, so what is
             scarce goes to the lower ranks; keys under no listed prefix come last
    look     at intervals: the rate follows what was applied since the last look, times 1 + headroom, between a floor and the
             declared rate; and it is cut by a share while the fsyncs that ended since the last look took longer than a bound,
             on average

The loop knows an fsync at its end: during a stall none ends, so nothing is cut. And applied entries are demand as well as capacity:
what nobody asked for was not applied either, so after a quiet time the rate has to climb again, by 1 + headroom a look.

Source: the source article's chapter 4.2 (buckets per method, refill by the growth of raft_applied_index, capacity = 2 x rate,
prefixes with priority, minus 30% above 10 ms, reload). How the refill follows the index and how a priority decides is not said
there: both rules above are assumptions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sim.guards.bucket import RefusingBucket
from sim.units import SECOND, Nanoseconds

METHODS: Final = ("Put", "DeleteRange", "Txn")
"""The methods of etcd's KV service that write. The API server sends transactions only."""


@dataclass(frozen=True, slots=True)
class Adapt:
    """The rate follows the applied index: at most `1 + headroom` of its growth, at least `floor` of the declared rate."""

    headroom: float = 0.2
    floor: float = 0.1


@dataclass(frozen=True, slots=True)
class Cut:
    """While fsyncs take longer than `above`, nanoseconds, the rate is lower by the share `by`."""

    above: Nanoseconds
    by: float


class WriteLimiter:
    """The limiter of one member.

    rate: per second and method; capacity: tokens a token per second of rate (2: twice the rate); ranks: by prefix, from 1.
    """

    def __init__(
        self, rate: float, capacity: float, methods: Collection[str], ranks: Mapping[str, int], adapt: Adapt | None = None,
        cut: Cut | None = None, as_published: bool = False,
    ):  # fmt: skip
        self._declared, self._capacity, self._ranks, self._adapt, self._cut = rate, capacity, dict(ranks), adapt, cut
        self._last = max(self._ranks.values(), default=0) + 1
        self._buckets = {method: RefusingBucket(rate, rate * capacity, as_published) for method in methods}
        self._follows, self._cutting = rate, False
        self._looked_at = self._accounted_at = 0
        self.rate = rate
        """Per second and method, as it is now."""
        self.admitted = self.refused = self.passed = 0
        self.least = self.most = rate
        self.changes = self.reversals = 0
        """How often the rate has changed, and how often from up to down or back."""
        self.cuts = 0
        self._direction = 0
        self._sum = 0.0

    def rank(self, path: str) -> int:
        """The rank of the longest listed prefix of a key's path; one after all listed ones where there is none."""
        listed = [prefix for prefix in self._ranks if path.startswith(prefix)]
        return self._ranks[max(listed, key=len)] if listed else self._last

    def admits(self, now: Nanoseconds, method: str, rank: int = 1) -> bool:
        """Whether a request of that method, on a key of that rank, goes on."""
        bucket = self._buckets.get(method)
        if bucket is None:
            self.passed += 1
            return True
        if bucket.allow(now, bucket.capacity * (rank - 1) / self._last if self._ranks else 0.0):
            self.admitted += 1
            return True
        self.refused += 1
        return False

    def look(self, now: Nanoseconds, applied: int, fsyncs: Sequence[Nanoseconds]) -> None:
        """The control loop: so many entries were applied, and these fsyncs ended, since the last look."""
        elapsed = now - self._looked_at
        if elapsed <= 0:
            return
        self._looked_at = now
        if self._adapt is not None:
            growth = applied * SECOND / elapsed
            floor = self._adapt.floor * self._declared
            self._follows = min(self._declared, max(floor, growth * (1 + self._adapt.headroom)))
        if self._cut is not None and len(fsyncs):
            cutting = sum(fsyncs) / len(fsyncs) > self._cut.above
            self.cuts += cutting and not self._cutting
            self._cutting = cutting
        self._set(now)

    def reload(self, now: Nanoseconds, rate: float) -> None:
        """Another declared rate from now on."""
        if self._follows == self._declared or self._adapt is None:
            self._follows = rate
        self._declared = rate
        self._follows = min(self._follows, rate)
        self._set(now)

    def mean_rate(self, now: Nanoseconds) -> float:
        """Mean of the rate up to now, per second."""
        self._account(now)
        return self._sum / now if now else self.rate

    def _account(self, now: Nanoseconds) -> None:
        self._sum += self.rate * (now - self._accounted_at)
        self._accounted_at = now

    def _set(self, now: Nanoseconds) -> None:
        rate = self._follows * (1 - self._cut.by) if self._cutting and self._cut is not None else self._follows
        if rate == self.rate:
            return
        self._account(now)
        direction = 1 if rate > self.rate else -1
        self.changes += 1
        self.reversals += direction == -self._direction
        self._direction = direction
        self.rate = rate
        self.least, self.most = min(self.least, rate), max(self.most, rate)
        for bucket in self._buckets.values():
            bucket.set_rate(now, rate, max(1.0, rate * self._capacity))
