"""What a request costs the server: seats, and for how long; the units that fair queuing counts in.

A request occupies seats in two phases: `initial_seats` while it is served, and `final_seats` for `extra` nanoseconds
after its answer, when watchers are told. Neither phase waits for the other's seats: the larger number is taken when it
starts and held until the end of both. Work is counted in ticks of 10 seat-nanoseconds, so that a seat-second is 1e8, as
the server's fixed point does; the initial phase is guessed at 3 ms before it has run.

Source: k8s.io/apiserver v0.35.0, pkg/util/flowcontrol/request/seat_seconds.go, width.go;
fairqueuing/queueset/types.go, queueset.go (estimatedServiceDuration).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sim.units import MILLISECOND, Nanoseconds

ESTIMATED_SERVICE: Final[Nanoseconds] = 3 * MILLISECOND
"""estimatedServiceDuration of queueset.go: what a request's initial phase is taken to last until it is over."""
NANOSECONDS_PER_TICK: Final = 10.0

Ticks = int
"""Work, or the reading of the progress meter R, in units of 1e-8 seat-seconds (SeatSeconds)."""


def ticks(seats: float, duration: Nanoseconds) -> Ticks:
    """Work of `seats` for `duration` ns, which may be negative; halves are rounded away from zero (SeatsTimesDuration)."""
    exact = seats * duration / NANOSECONDS_PER_TICK
    whole = int(exact)
    rest = exact - whole
    if rest >= 0.5:
        return whole + 1
    return whole - 1 if rest <= -0.5 else whole


def duration_per_seat(work: Ticks, seats: float) -> Nanoseconds:
    """How long `seats` take for `work`, in ns, truncated (DurationPerSeat)."""
    return int(work / seats * NANOSECONDS_PER_TICK)


@dataclass(frozen=True, slots=True)
class Work:
    """An estimate of what a request takes (WorkEstimate). Immutable: make one and use it for all requests alike.

    initial_seats: seats while it is served, 1 or more; final_seats, extra: seats and ns after its answer.
    seats: the larger of both numbers; total_work: both phases, in ticks.
    """

    initial_seats: int = 1
    final_seats: int = 0
    extra: Nanoseconds = 0
    seats: int = field(init=False)
    total_work: Ticks = field(init=False)

    def __post_init__(self) -> None:
        if self.initial_seats < 1 or self.final_seats < 0 or self.extra < 0:
            raise ValueError(f"{self.initial_seats} seats, then {self.final_seats} for {self.extra} ns is no work estimate")
        initial_work = ticks(float(self.initial_seats), ESTIMATED_SERVICE)
        object.__setattr__(self, "seats", max(self.initial_seats, self.final_seats))
        object.__setattr__(self, "total_work", initial_work + ticks(float(self.final_seats), self.extra))

    def narrowed(self, limit: int) -> Work:
        """The same work with the final phase on at most `limit` seats, and longer for it; the total as it was counted."""
        if self.final_seats <= limit:
            return self
        final_work = ticks(float(self.final_seats), self.extra)
        narrow = Work(self.initial_seats, limit, duration_per_seat(final_work, float(limit)))
        object.__setattr__(narrow, "total_work", self.total_work)
        return narrow


ONE_SEAT: Final = Work()
"""What most requests are: one seat, nothing afterwards."""
