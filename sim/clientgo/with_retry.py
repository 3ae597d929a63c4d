"""When a client sends a request once more by itself, below the eyes of whoever asked for it.

    answer is 429 or 5xx and has Retry-After in whole seconds    sleep that long (0: not at all)
    the connection broke, and the request may be repeated        sleep 1 s
    all else, a 409 or a 503 without Retry-After included        it is the caller's

at most ten times, both kinds together: eleven requests in all. After the sleep the client's limiter is asked, as before the
first sending (which is not limited for a watch). The client's timeout covers everything from the first sending (not the first
wait for the limiter) to the last answer, the sleeps included; once it has passed nothing more is sent. A watch has it for each
sending alone.

Which broken connections may be repeated depends on the call:

    DO       (get, list, create, update, patch, delete: Do and DoRaw)  only GET, and only if the connection was reset, ended
             (EOF, GOAWAY, closed) or was lost under HTTP/2: a refused connection or a timeout is the caller's
    WATCH    any that ended or was reset, or a timeout; after the tenth the watch is returned empty and without an error
    STREAM   none (logs and the like)

A body given as a stream (io.Reader) cannot be sent twice, so such a request is never repeated.

Source: k8s.io/client-go v0.35.0, rest/with_retry.go (IsNextRetry, checkWait, Before), rest/request.go (request, Watch, Stream,
retryAfterSeconds, maxRetries); k8s.io/apimachinery v0.35.0, pkg/util/net/util.go, http.go (IsProbableEOF).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from sim.units import SECOND, Nanoseconds

MAX_RETRIES: Final = 10
_BROKEN_CONNECTION_WAIT: Final[Nanoseconds] = SECOND
_TOO_MANY_REQUESTS: Final = 429


class Mode(Enum):
    """The kind of call; see the module."""

    DO = "do"
    WATCH = "watch"
    STREAM = "stream"


class Broken(Enum):
    """How a request ended that has no answer."""

    RESET = "reset"
    """ECONNRESET."""
    ENDED = "ended"
    """EOF, unexpected EOF, GOAWAY, use of a closed or broken connection."""
    LOST = "lost"
    """HTTP/2: client connection lost (a health check went unanswered)."""
    REFUSED = "refused"
    TIMEOUT = "timeout"
    OTHER = "other"


_REPEATED: Final = {
    Mode.DO: frozenset({Broken.RESET, Broken.ENDED, Broken.LOST}),
    Mode.WATCH: frozenset({Broken.RESET, Broken.ENDED, Broken.TIMEOUT}),
    Mode.STREAM: frozenset[Broken](),
}


class WithRetry:
    """The retries of one request. get: its method is GET; streamed_body: its body is a stream."""

    __slots__ = ("_max_retries", "_mode", "_repeatable", "_streamed_body", "attempts")

    def __init__(self, get: bool, mode: Mode = Mode.DO, streamed_body: bool = False, max_retries: int = MAX_RETRIES):
        self._mode = mode
        self._repeatable = _REPEATED[mode] if get or mode is not Mode.DO else frozenset[Broken]()
        self._streamed_body = streamed_body
        self._max_retries = max(max_retries, 0)
        self.attempts = 0
        """How often it was sent and answered, or broke."""

    def answered(self, status: int, retry_after: int | None) -> Nanoseconds | None:
        """An HTTP answer came. How long to sleep before sending again, nanoseconds; None: it is the caller's.

        retry_after: the header in whole seconds, None where it is absent or no whole number (a date).
        """
        overloaded = status == _TOO_MANY_REQUESTS or status >= 500
        return self._next(max(retry_after, 0) * SECOND if overloaded and retry_after is not None else None)

    def broke(self, how: Broken) -> Nanoseconds | None:
        """No answer came. How long to sleep before sending again, nanoseconds; None: the error is the caller's."""
        return self._next(_BROKEN_CONNECTION_WAIT if how in self._repeatable else None)

    def ends_as_empty_watch(self, how: Broken) -> bool:
        """Whether, retries used up, the caller of a watch is given one without events instead of the error."""
        return self._mode is Mode.WATCH and how in self._repeatable

    def _next(self, wait: Nanoseconds | None) -> Nanoseconds | None:
        self.attempts += 1
        if self._streamed_body or self.attempts > self._max_retries:
            return None
        return wait
