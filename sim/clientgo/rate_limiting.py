"""client-go's rate-limiting queue: the queue that controllers use. It asks a limiter how long a failed key waits.

`add_rate_limited` is `add_after` with the limiter's answer and nothing more, so the limiter is consumed (a failure
counted, a token taken) even where the answer has no effect: the key already waits for an earlier time, or the queue
is shutting down. `forget` clears the limiter only: it neither cancels a waiting entry nor stands for `done`.

MaxRetries is no part of the queue: a controller compares `num_requeues` with its limit and forgets the key instead of
adding it.

Source: k8s.io/client-go v0.35.0, util/workqueue/rate_limiting_queue.go.
"""

from __future__ import annotations

from collections.abc import Hashable

from sim.clientgo.delaying import DelayingQueue
from sim.clientgo.limiters import RateLimiter, default_controller_rate_limiter
from sim.clientgo.queue_metrics import Sink
from sim.units import Nanoseconds


class RateLimitingQueue(DelayingQueue):
    """A `DelayingQueue` with a limiter.

    By default client-go's MaxOf(exponential 5 ms..1000 s, bucket 10/s burst 100).
    """

    __slots__ = ("_when", "limiter")

    def __init__(
        self,
        limiter: RateLimiter | None = None,
        on_queue_duration: Sink | None = None,
        on_work_duration: Sink | None = None,
    ):
        super().__init__(on_queue_duration, on_work_duration)
        self.limiter = default_controller_rate_limiter() if limiter is None else limiter
        self._when = self.limiter.when

    def add_rate_limited(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """Add `key` after the limiter's delay; True if that is now and it went to the queue."""
        return self.add_after(now, key, self._when(now, key))

    def forget(self, key: Hashable) -> None:
        """The key succeeded or was given up: the limiter stops tracking it. The caller still owes `done`."""
        self.limiter.forget(key)

    def num_requeues(self, key: Hashable) -> int:
        """Failures of `key` that the limiter remembers."""
        return self.limiter.num_requeues(key)
