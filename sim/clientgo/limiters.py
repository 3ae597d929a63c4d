"""How long a key waits before its next try: the rate limiters of client-go's workqueue.

A limiter answers `when` (and takes note that it was asked: a failure counted, a token taken), `forget` (the key is
done failing) and `num_requeues`. Limiters combine: `MaxOf` asks every one, so that each is consumed whatever the
others say; `WithMaxWait` cuts the answer, not the consumption. A count of failures stays until forgotten: a
controller that never forgets deleted keys leaks it.

The two defaults that matter: client-go's is MaxOf(exponential 5 ms..1000 s, bucket 10/s burst 100); that of
controller-runtime's priority queue (default from 0.23) is the exponential alone, so nothing bounds the sum over all
keys.

Source: k8s.io/client-go v0.35.0, util/workqueue/default_rate_limiters.go; sigs.k8s.io/controller-runtime v0.23.3,
pkg/controller/controller.go (NewTypedUnmanaged).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol

from sim.ratelimit.bucket import TokenBucket
from sim.units import MILLISECOND, SECOND, Nanoseconds

_MIN_DURATION: Final[Nanoseconds] = -(2**63)
_TWO_TO_63: Final = 2.0**63


class RateLimiter(Protocol):
    """What a rate-limiting queue asks of a limiter (workqueue.TypedRateLimiter)."""

    def when(self, now: Nanoseconds, key: Hashable) -> Nanoseconds:
        """Nanoseconds that `key` should wait from `now`; asking counts as a failure."""

    def forget(self, key: Hashable) -> None:
        """Stop tracking `key`: it succeeded or was given up."""

    def num_requeues(self, key: Hashable) -> int:
        """How many failures of `key` are remembered."""


class ItemExponentialFailure:
    """base * 2^failures of the key, at most `maximum` (nanoseconds): 5, 10, 20 ... ms for base 5 ms.

    Computed in float64 and truncated as Go does; a product that no longer fits an int64 is `maximum`.
    """

    __slots__ = ("_delays", "_failures", "base", "maximum")

    def __init__(self, base: Nanoseconds, maximum: Nanoseconds):
        self.base = base
        self.maximum = maximum
        self._failures: dict[Hashable, int] = {}
        self._delays = _exponential_delays(base, maximum)

    def when(self, now: Nanoseconds, key: Hashable) -> Nanoseconds:
        """The key's next delay; counts one failure. Does not depend on `now`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delays = self._delays
        return delays[failures] if failures < len(delays) else delays[-1]

    def forget(self, key: Hashable) -> None:
        """The next failure waits `base` again."""
        self._failures.pop(key, None)

    def num_requeues(self, key: Hashable) -> int:
        """Failures since the last forget."""
        return self._failures.get(key, 0)


class ItemFastSlow:
    """`fast` for the first `max_fast_attempts` failures of a key, `slow` from then on (nanoseconds)."""

    __slots__ = ("_failures", "fast", "max_fast_attempts", "slow")

    def __init__(self, fast: Nanoseconds, slow: Nanoseconds, max_fast_attempts: int):
        self.fast = fast
        self.slow = slow
        self.max_fast_attempts = max_fast_attempts
        self._failures: dict[Hashable, int] = {}

    def when(self, now: Nanoseconds, key: Hashable) -> Nanoseconds:
        """The key's next delay; counts one failure. Does not depend on `now`."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return self.fast if failures <= self.max_fast_attempts else self.slow

    def forget(self, key: Hashable) -> None:
        """The next failure is the first again."""
        self._failures.pop(key, None)

    def num_requeues(self, key: Hashable) -> int:
        """Failures since the last forget."""
        return self._failures.get(key, 0)


class Bucket:
    """One token bucket for all keys: `rate` tries per second, `burst` at once.

    It remembers no key (TypedBucketRateLimiter). make: the bucket of another release of x/time.
    """

    __slots__ = ("_reserve", "bucket")

    def __init__(self, rate: float, burst: int, make: type[TokenBucket] = TokenBucket):
        self.bucket = make(rate, burst)
        self._reserve = self.bucket.reserve

    def when(self, now: Nanoseconds, key: Hashable) -> Nanoseconds:
        """Delay of one token, which is taken even if nobody will wait for it."""
        return self._reserve(now)

    def forget(self, key: Hashable) -> None:
        """Nothing: a token is not given back."""

    def num_requeues(self, key: Hashable) -> int:
        """Always 0."""
        return 0


class MaxOf:
    """The longest delay of several limiters; every one of them is asked, and consumed, each time."""

    __slots__ = ("_whens", "limiters")

    def __init__(self, *limiters: RateLimiter):
        self.limiters = limiters
        self._whens = tuple(limiter.when for limiter in limiters)

    def when(self, now: Nanoseconds, key: Hashable) -> Nanoseconds:
        """The largest of the members' delays, at least 0."""
        longest = 0
        for when in self._whens:
            delay = when(now, key)
            if delay > longest:
                longest = delay
        return longest

    def forget(self, key: Hashable) -> None:
        """Every member forgets the key."""
        for limiter in self.limiters:
            limiter.forget(key)

    def num_requeues(self, key: Hashable) -> int:
        """The largest count of the members."""
        return max((limiter.num_requeues(key) for limiter in self.limiters), default=0)


class WithMaxWait:
    """Another limiter's delay, but at most `maximum` nanoseconds; what it consumes below is consumed all the same."""

    __slots__ = ("limiter", "maximum")

    def __init__(self, limiter: RateLimiter, maximum: Nanoseconds):
        self.limiter = limiter
        self.maximum = maximum

    def when(self, now: Nanoseconds, key: Hashable) -> Nanoseconds:
        """The inner delay, cut at `maximum`."""
        delay = self.limiter.when(now, key)
        return delay if delay <= self.maximum else self.maximum

    def forget(self, key: Hashable) -> None:
        """The inner limiter forgets the key."""
        self.limiter.forget(key)

    def num_requeues(self, key: Hashable) -> int:
        """The inner limiter's count."""
        return self.limiter.num_requeues(key)


def default_controller_rate_limiter() -> MaxOf:
    """client-go's DefaultTypedControllerRateLimiter, also controller-runtime's without the priority queue."""
    return MaxOf(ItemExponentialFailure(5 * MILLISECOND, 1000 * SECOND), Bucket(10.0, 100))


def default_item_based_rate_limiter() -> ItemExponentialFailure:
    """client-go's DefaultTypedItemBasedRateLimiter: 1 ms..1000 s a key, nothing shared."""
    return ItemExponentialFailure(MILLISECOND, 1000 * SECOND)


def priority_queue_rate_limiter() -> ItemExponentialFailure:
    """controller-runtime's default with the priority queue: 5 ms..1000 s a key, no shared bucket."""
    return ItemExponentialFailure(5 * MILLISECOND, 1000 * SECOND)


def _exponential_delays(base: Nanoseconds, maximum: Nanoseconds) -> list[Nanoseconds]:
    """Delay by number of failures; the last entry holds for all further ones.

    A product of exactly 2^63 passes Go's overflow check and turns negative in the conversion (amd64): an immediate
    retry. So does 0 * 2^1024 (NaN). Both are kept, since a base of 1 ns reaches the first.
    """
    delays = []
    for failures in range(1025):
        power = 2.0**failures if failures < 1024 else float("inf")
        backoff = float(base) * power
        if backoff > _TWO_TO_63:
            delays.append(maximum)
            break
        calculated = int(backoff) if -_TWO_TO_63 <= backoff < _TWO_TO_63 else _MIN_DURATION
        delays.append(min(calculated, maximum))
    return delays
