"""The request timeout: one alarm for the oldest request without an answer.

Source: etcd server/etcdserver/v3_server.go (processInternalRaftRequestOnce, parseProposeCtxErr): the caller is told, the proposal
is not withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.etcd.request import Outcome
from sim.hardware.disk import NEVER
from sim.processes.cohorts import Cohort, Cohorts
from sim.processes.events import Alarm, Call, Clock, Ghost
from sim.units import Nanoseconds

Waiting = Call | Ghost | Cohort
"""What waits in the inbox, and what a batch is made of."""


class Deadlines:
    """Tells callers that wait too long. waiting: lists of requests without an answer, each by age.

    alarm: armed while a request waits. failed: requests that were proposed and whose callers heard of no success.
    """

    def __init__(self, env: Clock, timeout: Nanoseconds, waiting: Callable[[], list[list[Waiting]]]):
        self._env, self._timeout, self._waiting = env, timeout, waiting
        self.alarm = Alarm(env, self._expire)
        self.storms: list[Cohorts] = []
        self.failed = 0
        self._expiring = False

    @property
    def patience(self) -> Nanoseconds:
        """So long after it came a request must be known, that it may hear in time that it took too long."""
        return self._timeout // 2

    def expect(self, arrived: Nanoseconds) -> None:
        """A storm's write that came at `arrived` waits for its answer."""
        if self.alarm.callbacks is None and not self._expiring:
            self.alarm.arm(max(0, arrived + self._timeout - self._env._now))

    def time_out(self, entry: Waiting, now: Nanoseconds, at: Nanoseconds) -> None:
        """A request is not answered in time: its caller is told at `at`."""
        if isinstance(entry, Call):
            self.failed += 1
            entry.outcome = Outcome.TIMEOUT
            entry.answer(now, at)

    def _expire(self, _alarm: Alarm) -> None:
        """Tell the callers of requests that wait too long; their entries stay in the log."""
        now, timeout = self._env._now, self._timeout
        oldest: Nanoseconds = NEVER
        for batch in self._waiting():
            for place, entry in enumerate(batch):
                if isinstance(entry, Ghost):
                    continue
                if isinstance(entry, Cohort):
                    self.failed += entry.expire(now, timeout)
                    if entry.arrives >= NEVER:
                        continue
                if entry.arrives + timeout > now:
                    oldest = min(oldest, entry.arrives)
                    break
                assert not isinstance(entry, Cohort)  # some of it were still waiting, above
                batch[place] = Ghost(entry)
                self.time_out(entry, now, now)
        self._expiring = True
        for storm in self.storms:
            self.failed += storm.expire(now, timeout)
            oldest = min(oldest, storm.oldest)
        self._expiring = False
        if oldest < NEVER:
            self.alarm.arm(oldest + timeout - now)
