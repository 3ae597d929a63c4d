"""What a controller asks of its queue, be it client-go's rate-limiting or controller-runtime's priority queue."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from sim.units import Nanoseconds


class WorkQueue(Protocol):
    """A work queue with delays, a limiter and metrics. All times in nanoseconds; a key is anything hashable but None.

    Who owns it calls `advance` at `next_due`, and before anything else that happens at or after that time. Methods
    that return bool say whether a key may now be handed out that could not before: wake one waiting worker.
    """

    shutting_down: bool
    adds: int
    retries: int

    def add(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """`key` needs a run."""

    def add_after(self, now: Nanoseconds, key: Hashable, delay: Nanoseconds, priority: int = 0) -> bool:
        """`key` needs a run when `delay` has passed."""

    def add_rate_limited(self, now: Nanoseconds, key: Hashable, priority: int = 0) -> bool:
        """`key` needs a run when the limiter says so; counts as a failure."""

    def get(self, now: Nanoseconds) -> Hashable | None:
        """The next key, held by the caller until `done`; None would block or, when shutting down, ends the worker."""

    def priority_of(self, key: Hashable) -> int:
        """Priority of the run of `key` that a worker holds: a retry keeps it."""

    def done(self, now: Nanoseconds, key: Hashable) -> bool:
        """The worker lets go of `key`."""

    def forget(self, key: Hashable) -> None:
        """The limiter stops tracking `key`."""

    def num_requeues(self, key: Hashable) -> int:
        """Failures of `key` that the limiter remembers."""

    def next_due(self) -> Nanoseconds | None:
        """When the earliest waiting entry becomes ready; None if nothing waits."""

    def advance(self, now: Nanoseconds) -> int:
        """Move what is due into the queue; return how many keys may now be handed out that could not before."""

    def shut_down(self, now: Nanoseconds) -> None:
        """Refuse further adds and drop what waits."""

    def shut_down_with_drain(self, now: Nanoseconds) -> None:
        """Refuse further adds and drop what waits; client-go's caller waits until no key is held."""

    def __len__(self) -> int:
        """Keys ready to be handed out, as the real Len counts them."""

    @property
    def depth(self) -> int:
        """workqueue_depth."""

    @property
    def processing(self) -> int:
        """Keys that workers hold."""

    def unfinished(self, now: Nanoseconds) -> float:
        """workqueue_unfinished_work_seconds if it were read now."""

    def longest_running(self, now: Nanoseconds) -> float:
        """workqueue_longest_running_processor_seconds if it were read now."""
