"""A storm as cohorts: its arrivals are arrays, and what of them shares a batch of the log travels as one entry.

    settle   look at the arrivals up to now, fresh ones and those that come again: which are refused (NOSPACE, the gap of 5,000),
             which wait for the next batch. What the leader has handed over decides, so this comes before each hand-over
    take     the leader begins a turn: what waits becomes a `Cohort`, an entry of the log that counts for many
    answer   all of a cohort are applied: each has its own time, latency, and perhaps its time-out; who was not answered comes again
    arm      an alarm for the next arrival that may find the leader free: one event a batch, not one a write

The same rules as for single requests (`sim.processes.storm`), in the same order and with the same draws: where nobody waits for a
core, a storm gives the same answers either way, to the nanosecond.

Simplified: goroutines of a cohort's requests take their time of the cores, spread over them, and wait for none.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from sim.etcd.request import Op, Outcome, Shape
from sim.hardware.disk import NEVER
from sim.processes.events import Alarm, Clock
from sim.processes.storm import BackOff, StormTally
from sim.streams import Stream
from sim.units import MILLISECOND, Nanoseconds

if TYPE_CHECKING:
    from sim.processes.leader import Leader

Array = NDArray[np.int64]
_TICK: Final[Nanoseconds] = 10 * MILLISECOND
"""While nothing is let in, arrivals are looked at so often at least: their next tries must not come too late."""
_GATHER: Final = 4
"""What comes again is gathered for a quarter of the shortest pause, then sorted: chunks stay few."""
_COLUMNS: Final = 3  # when it arrives, when its caller sent it first, how often it was sent again


class Cohort:
    """Writes of one storm that share a batch: one entry of the log. arrives: of the first that waits for its answer.

    The applier writes `times`: when each was done. Everything else is as in `sim.etcd.request.Entry`.
    """

    __slots__ = (
        "arrivals", "arrives", "count", "data", "done", "expected", "expired", "handed", "key", "lease", "op", "outcome",
        "revision", "rows", "shape", "source", "times", "writer",
    )  # fmt: skip
    on_answer = None
    here = True
    content = None

    def __init__(self, source: Cohorts, rows: Array):
        self.source, self.rows, self.arrivals = source, rows, rows[0]
        self.count = rows.shape[1]
        self.expired = 0  # so many of the first were told that it took too long
        self.op, self.shape, self.writer, self.data = Op.COHORT, source.shape, source.writer, source.shape.put_data
        self.key: Hashable = None
        self.expected = self.lease = self.revision = 0
        self.handed: Nanoseconds = 0
        self.done: Nanoseconds = 0
        self.outcome = Outcome.CREATED
        self.arrives = int(self.arrivals[0])
        self.times: Array = self.arrivals

    def answer(self, now: Nanoseconds, at: Nanoseconds) -> None:
        """All who still wait hear the cohort's outcome at `at`: not the applier's, but a lost leader's."""
        self.source.failed(self.rows[:, self.expired :], self.outcome, now, at)
        self.expired = self.count

    def applied(self, now: Nanoseconds, timeout: Nanoseconds) -> int:
        """The applier has said when each is done; returns how many hear of a time-out instead."""
        return self.source.answered(self, now, timeout)

    def expire(self, now: Nanoseconds, timeout: Nanoseconds) -> int:
        """Tell those who have waited for `timeout` by now; returns how many. They stay in the log."""
        upto = int(np.searchsorted(self.arrivals, now - timeout, side="right"))
        first, self.expired = self.expired, max(self.expired, upto)
        self.source.failed(self.rows[:, first : self.expired], Outcome.TIMEOUT, now, now)
        self.arrives = int(self.arrivals[self.expired]) if self.expired < self.count else NEVER
        return self.expired - first


class Cohorts:
    """A storm before a leader. way, request: one way to etcd, and its gRPC goroutine, nanoseconds."""

    def __init__(
        self, env: Clock, leader: Leader, shape: Shape, writer: int, times: Iterator[Array], way: Nanoseconds, request: Nanoseconds,
        back_off: BackOff, jitter: Stream,
    ):  # fmt: skip
        self._env, self._leader, self.shape, self.writer = env, leader, shape, writer
        self._times, self._way, self._ahead, self._request = times, way, way + request, request
        self._back_off, self._jitter = back_off, jitter
        self._pauses = np.array([*back_off.pauses, 0], dtype=np.int64)
        self.tally = StormTally()
        self._fresh: Array = np.empty(0, dtype=np.int64)
        self._again: list[Array] = []  # chunks of rows, each sorted by arrival
        self._gathered: list[Array] = []
        self._gathered_since: Nanoseconds = NEVER
        self._gather: Nanoseconds = max(1, min(back_off.pauses, default=_TICK) // _GATHER)
        self._settled: Nanoseconds = -1
        self._waiting: list[Array] = []
        self._expired = 0  # so many of the first that wait were told that it took too long
        self._alarm = Alarm(env, self._rings)
        self._rings_at: Nanoseconds = NEVER

    def begin(self) -> None:
        """The first arrivals are known."""
        self._leader.attach(self)
        self.arm(0)

    def fed(self) -> None:
        """More arrivals are known."""
        self.arm(0)

    # ---- arrivals

    def _first(self) -> Nanoseconds:
        """When the next one arrives."""
        if not len(self._fresh):
            block = next(self._times, None)
            while block is not None and not len(block):
                block = next(self._times, None)
            if block is not None:
                self._fresh = block + self._ahead
        first = int(self._fresh[0]) if len(self._fresh) else NEVER
        for chunk in self._again:
            first = min(first, int(chunk[0, 0]))
        return first if not self._gathered else min(first, self._gathered_since + self._gather)

    def _due(self, until: Nanoseconds) -> Array:
        """Rows that arrive up to `until`, in order, taken out."""
        parts: list[Array] = []
        if self._gathered and until >= self._gathered_since + self._gather:
            self._sort()
        kept: list[Array] = []
        for chunk in self._again:
            count = int(np.searchsorted(chunk[0], until, side="right"))
            if count:
                parts.append(chunk[:, :count])
            if count < chunk.shape[1]:
                kept.append(chunk[:, count:])
        self._again = kept
        while True:  # of two at the same nanosecond the one that was under way for longer comes first
            self._first()  # the next block, where the last one is used up
            count = int(np.searchsorted(self._fresh, until, side="right"))
            if not count:
                break
            times, self._fresh = self._fresh[:count], self._fresh[count:]
            parts.append(np.stack([times, times - self._ahead, np.zeros(count, dtype=np.int64)]))
            self.tally.offered += count
        if not parts:
            return np.empty((_COLUMNS, 0), dtype=np.int64)
        if len(parts) == 1:
            return parts[0]
        rows = np.concatenate(parts, axis=1)
        return rows[:, np.argsort(rows[0], kind="stable")]

    def _sort(self) -> None:
        """What was gathered becomes a chunk."""
        rows = self._gathered[0] if len(self._gathered) == 1 else np.concatenate(self._gathered, axis=1)
        self._again.append(rows[:, np.argsort(rows[0], kind="stable")])
        self._gathered, self._gathered_since = [], NEVER

    def settle(self, now: Nanoseconds) -> None:
        """Everything that has arrived by now is refused or waits for the next batch."""
        while self._settled < now:
            until = now if not self._back_off.pauses else min(now, self._settled + self._gather)
            if until < now and self._first() > until:
                until = min(now, self._first())
            self._settled = until
            rows = self._due(until)
            if rows.shape[1]:
                self._admit(rows, until)

    def _admit(self, rows: Array, until: Nanoseconds) -> None:
        leader, times = self._leader, rows[0]
        full_from = leader.refusals.full_from(self.shape, times, until)
        count = rows.shape[1]
        full = count if full_from == NEVER else int(np.searchsorted(times, full_from))
        opens = leader.refusals.opens_at()
        shut = min(full, int(np.searchsorted(times, opens)))
        if shut:
            leader.refusals.counts[Outcome.TOO_MANY_REQUESTS] += shut
            self.failed(rows[:, :shut], Outcome.TOO_MANY_REQUESTS)
        if full > shut:
            self._waiting.append(rows[:, shut:full])
            leader.deadlines.expect(int(times[shut]))
        if count > full:
            leader.refusals.counts[Outcome.NO_SPACE] += count - full
            self.failed(rows[:, full:], Outcome.NO_SPACE)

    # ---- the leader's side

    def take(self) -> Cohort | None:
        """What waits for a batch, as an entry of it."""
        if not self._waiting:
            return None
        cohort = Cohort(self, self._all_waiting())
        self._waiting = []
        cohort.expired, self._expired = self._expired, 0
        if cohort.expired:
            cohort.arrives = int(cohort.arrivals[cohort.expired]) if cohort.expired < cohort.count else NEVER
        return cohort

    def _all_waiting(self) -> Array:
        if len(self._waiting) > 1:
            self._waiting = [np.concatenate(self._waiting, axis=1)]
        return self._waiting[0]

    def expire(self, now: Nanoseconds, timeout: Nanoseconds) -> int:
        """Tell those that wait for a batch and came `timeout` ago or earlier; returns how many. They go into the log, too."""
        self.settle(now)
        if not self._waiting:
            return 0
        rows, first = self._all_waiting(), self._expired
        self._expired = max(first, int(np.searchsorted(rows[0], now - timeout, side="right")))
        self.failed(rows[:, first : self._expired], Outcome.TIMEOUT, now, now)
        return self._expired - first

    @property
    def oldest(self) -> Nanoseconds:
        """When the first of those came that wait for a batch and have heard nothing; NEVER without one."""
        skip = self._expired
        for rows in self._waiting:
            if skip < rows.shape[1]:
                return int(rows[0, skip])
            skip -= rows.shape[1]
        return NEVER

    def arm(self, busy_until: Nanoseconds) -> None:
        """Ring when the next arrival may begin a turn, not before `busy_until`; but do not let arrivals lie for long."""
        now, first = self._env._now, self._first()
        if first >= NEVER and not self._waiting:
            return
        at = max(now, busy_until, first if not self._waiting else now)
        opens = self._leader.refusals.opens_at()
        at = min(at, max(now, first) + self._leader.deadlines.patience)  # a save may take longer than a caller waits
        if self._leader.refusals.no_space:
            at = max(at, now + _TICK)
        elif opens > at:
            at = min(opens, max(at, now + _TICK))
        if at >= self._rings_at:
            return
        if self._alarm.armed:  # for later: that one will ring for nothing
            self._alarm = Alarm(self._env, self._rings)
        self._rings_at = at
        self._alarm.arm(at - now)

    def _rings(self, _alarm: Alarm) -> None:
        now = self._env._now
        if now < self._rings_at:
            return
        self._rings_at = NEVER
        self.settle(now)
        if self._waiting:
            self._leader.rouse()
        else:
            self.arm(now)

    # ---- answers

    def failed(self, rows: Array, outcome: Outcome, now: Nanoseconds = 0, at: Nanoseconds | None = None) -> None:
        """Rows that were refused as they arrived, or that hear of a failure at `at`, not before now: again later, or given up."""
        count = rows.shape[1]
        if not count:
            return
        tally = self.tally
        if outcome is Outcome.TIMEOUT:
            tally.timeouts += count
        else:
            tally.refused += count
            tally.no_space += count * (outcome is Outcome.NO_SPACE)
        heard = (rows[0] if at is None else at) + self._way
        self._try_again(rows, heard if isinstance(heard, np.ndarray) else np.full(count, heard), now)

    def _try_again(self, rows: Array, heard: Array, now: Nanoseconds) -> None:
        tally, tries = self.tally, rows[2]
        more = tries < len(self._back_off.pauses)
        left = int(np.count_nonzero(more))
        if left < len(tries):
            tally.given_up += len(tries) - left
            tally.failures.extend((heard - rows[1])[~more])
        if not left:
            return
        tally.resent += left
        if left < len(tries):
            rows, heard, tries = rows[:, more], heard[more], tries[more]
        pauses = self._pauses[tries]
        pauses = pauses + (pauses * self._back_off.jitter * self._jitter.block(left)).astype(np.int64)
        arrive = np.maximum(now, heard + pauses + self._ahead)
        self._gathered.append(np.stack([arrive, rows[1], tries + 1]))
        self._gathered_since = min(self._gathered_since, int(heard.min()))

    def answered(self, cohort: Cohort, now: Nanoseconds, timeout: Nanoseconds) -> int:
        """The applier has said when each of a cohort is done; returns how many hear of a time-out instead."""
        first = cohort.expired
        rows, done = cohort.rows[:, first:], cohort.times[first:]
        late = done - rows[0] > timeout
        failures = int(np.count_nonzero(late))
        tally = self.tally
        if failures:
            tally.timeouts += failures
            mine = rows[:, late]
            self._try_again(mine, np.maximum(now, mine[0] + timeout) + self._way, now)
            rows, done = rows[:, ~late], done[~late]
        tally.accepted += len(done)
        tally.answers.extend(done, done + self._way - rows[1])
        return failures
