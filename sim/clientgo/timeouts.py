"""How long a client waits for an answer: always as long, or as long as answers have been taking.

Fixed is rest.Config.Timeout (client-go rest/config.go; no limit by default). client-go has nothing that adapts; this is what TCP
does:

    smoothed, deviation  of the times of answers that came, weights 1/8 and 1/4
    limit                smoothed + 4 deviations, within bounds; doubled by each answer that did not come, until the next one does

Source: RFC 6298. An answer that did not come in time says nothing of how long it would have taken (Karn), so it is no sample.
"""

from __future__ import annotations

from typing import Final, Protocol

from sim.units import MINUTE, SECOND, Nanoseconds

FIRST: Final[Nanoseconds] = SECOND
SHORTEST: Final[Nanoseconds] = SECOND
LONGEST: Final[Nanoseconds] = MINUTE
"""RFC 6298, 2.1, 2.4 and 2.5. A minute is also what an API server takes for a request at most."""


class Timeout(Protocol):
    """A client's patience."""

    def limit(self) -> Nanoseconds:
        """How long the next request may take."""

    def answered(self, took: Nanoseconds) -> None:
        """A request was answered in time."""

    def expired(self) -> None:
        """A request was given up."""


class FixedTimeout:
    """The same for every request."""

    def __init__(self, after: Nanoseconds):
        self._after = after

    def limit(self) -> Nanoseconds:
        """How long the next request may take."""
        return self._after

    def answered(self, took: Nanoseconds) -> None:
        """Makes no difference."""

    def expired(self) -> None:
        """Makes no difference."""


class AdaptiveTimeout:
    """RFC 6298's retransmission timer."""

    def __init__(self) -> None:
        self._smoothed = self._deviation = 0
        self._limit = FIRST

    def limit(self) -> Nanoseconds:
        """How long the next request may take."""
        return self._limit

    def answered(self, took: Nanoseconds) -> None:
        """A request was answered in time: a sample."""
        if self._smoothed:
            self._deviation += (abs(self._smoothed - took) - self._deviation) // 4
            self._smoothed += (took - self._smoothed) // 8
        else:
            self._smoothed, self._deviation = took, took // 2
        self._limit = min(LONGEST, max(SHORTEST, self._smoothed + 4 * self._deviation))

    def expired(self) -> None:
        """A request was given up: wait twice as long for the next."""
        self._limit = min(LONGEST, 2 * self._limit)
