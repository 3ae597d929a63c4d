"""A client that gives up waiting: the caller goes on when the time is over, the request goes on where it is.

What the caller yields is its own call; what travels is another one, made for this request, and brings the answer to the caller's
call if that still waits. Simplified: a server does not learn that nobody waits any more, so it works to the end, seat and write
included (an API server cancels what is not yet at etcd when the connection is closed).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim.clientgo.timeouts import Timeout
from sim.etcd.request import Outcome
from sim.processes.events import Alarm, Call
from sim.units import Nanoseconds

_REQUEST: Final = (
    "op", "shape", "key", "lease", "expected", "data", "content", "write", "serve", "ttl", "since", "work",
)  # fmt: skip
"""What of a call says what is asked for."""


class _Attempt:
    """One request of a caller who may give up."""

    __slots__ = ("caller", "patience", "travelling")

    def __init__(self, patience: Patience, caller: Call, travelling: Call):
        self.patience, self.travelling = patience, travelling
        self.caller: Call | None = caller

    def answer(self, _event: object) -> None:
        """The answer is here."""
        caller, came = self.caller, self.travelling
        if caller is None:
            return
        self.caller = None
        caller.outcome, caller.revision, caller.content = came.outcome, came.revision, came.content
        caller.transactions = came.transactions
        now = caller.env._now
        self.patience.timeout.answered(now - caller.since)
        caller.finish(now)

    def give_up(self, _alarm: object) -> None:
        """The time is over."""
        caller = self.caller
        if caller is None:
            return
        self.caller = None
        self.patience.given_up += 1
        self.patience.timeout.expired()
        caller.outcome, caller.transactions = Outcome.TIMEOUT, self.travelling.transactions
        caller.finish(caller.env._now)


class Patience:
    """Sends the requests of one client that waits only so long. make: a call for a writer. `given_up` counts."""

    def __init__(self, timeout: Timeout, make: Callable[[int], Call], submit: Callable[[Call, Nanoseconds], None]):
        self.timeout, self._make, self._submit = timeout, make, submit
        self.given_up = 0

    def send(self, caller: Call, wait: Nanoseconds) -> None:
        """A request leaves `wait` from now; from then on the caller waits."""
        made = self._make(caller.writer)
        for name in _REQUEST:
            setattr(made, name, getattr(caller, name))
        attempt = _Attempt(self, caller, made)
        made.callbacks = [attempt.answer]
        Alarm(caller.env, attempt.give_up).arm(wait + self.timeout.limit())
        self._submit(made, wait)
