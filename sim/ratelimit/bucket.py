"""A token bucket that may go into debt: the arithmetic of Go's `golang.org/x/time/rate`, to the last bit.

State: `tokens` (a float that starts at `burst`), the time they were last counted, and the latest time for which
anybody holds a reservation. Tokens flow in at `rate` per second and never exceed `burst`; a reservation takes its
tokens at once, even those that are not there yet, so the count may be negative without bound: the debt IS the queue,
and the next caller waits behind it. `allow` never makes debt: it takes tokens only when they are there.

Agreement to the nanosecond with Go needs the same float64 operations in the same order: whole seconds plus
nanoseconds / 1e9, times the rate; debt / rate * 1e9 truncated toward zero. (Go on amd64; arm64 may fuse multiply and
add.)

Source: golang.org/x/time v0.9.0 to v0.14.0, rate/rate.go (reserveN, advance, CancelAt, tokensFromDuration,
durationFromTokens).
"""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

from sim.units import SECOND, Nanoseconds

INF_DURATION: Final[Nanoseconds] = 2**63 - 1
"""`rate.InfDuration`: the delay of a reservation that can never be honoured."""

_INFINITE_RATE: Final = sys.float_info.max  # rate.Inf: 0 s times it is 0, where 0 * inf would be NaN
_TWO_TO_63: Final = 2.0**63
_LONG_AGO: Final[Nanoseconds] = -(2**63)  # stands for Go's zero time: whatever comes first finds the bucket full
_MIN_DURATION: Final[Nanoseconds] = -(2**63)


class Reservation(NamedTuple):
    """Tokens promised to one caller, as `rate.Reservation`.

    ok: whether they will ever be granted; delay: nanoseconds from the call until they are (`INF_DURATION` if not ok);
    time_to_act: that instant (0 if not ok); tokens: how many; limit: the rate at that moment, which a later cancel
    uses.
    """

    ok: bool
    delay: Nanoseconds
    time_to_act: Nanoseconds
    tokens: int
    limit: float

    def delay_from(self, now: Nanoseconds) -> Nanoseconds:
        """Nanoseconds still to wait at `now`: 0 once the time has come, `INF_DURATION` if never (DelayFrom)."""
        if not self.ok:
            return INF_DURATION
        return min(max(self.time_to_act - now, 0), INF_DURATION)


class TokenBucket:
    """A token bucket with debt, as `rate.Limiter`; all times in nanoseconds.

    rate: tokens per second; `inf`: no limit at all (burst is ignored); 0 or less: never refills. burst: capacity in
    tokens.
    """

    __slots__ = ("_burst", "_last_event", "_limit", "_refilled_at", "_tokens")

    def __init__(self, rate: float, burst: int):
        self._limit = _as_limit(rate)
        self._burst = float(burst)
        self._tokens = float(burst)
        self._refilled_at: Nanoseconds = _LONG_AGO
        self._last_event: Nanoseconds | None = None

    @property
    def rate(self) -> float:
        """Tokens per second; `inf` where there is no limit."""
        return float("inf") if self._limit == _INFINITE_RATE else self._limit

    @property
    def burst(self) -> int:
        """Capacity in tokens."""
        return int(self._burst)

    def reserve(self, now: Nanoseconds) -> Nanoseconds:
        """Take one token; return how long to wait until it is ours (0: at once), as Reserve().Delay().

        The token count may go negative: a later caller queues behind the debt. `INF_DURATION` where it can never be
        had.
        """
        limit = self._limit
        if limit == _INFINITE_RATE:
            return 0
        burst = self._burst
        if limit <= 0.0 or burst < 1.0:
            return self.reserve_n(now, 1).delay
        elapsed = now - self._refilled_at
        tokens = self._tokens
        if elapsed > 0:
            if elapsed < SECOND:
                tokens += elapsed / 1e9 * limit
            else:
                tokens += (elapsed // SECOND + elapsed % SECOND / 1e9) * limit
        if tokens > burst:
            tokens = burst
        tokens -= 1.0
        self._tokens = tokens
        self._refilled_at = now
        if tokens >= 0.0:
            self._last_event = now
            return 0
        duration = -tokens / limit * 1e9
        wait = int(duration) if duration < _TWO_TO_63 else self._wait(limit, -tokens)
        self._last_event = now + wait
        return wait if wait > 0 else 0

    def reserve_n(self, now: Nanoseconds, n: int, max_wait: Nanoseconds = INF_DURATION) -> Reservation:
        """Take `n` tokens if they can be had within `max_wait`.

        Not ok, and nothing taken, if not or if n exceeds the burst.
        """
        limit = self._limit
        if limit == _INFINITE_RATE:
            return Reservation(True, 0, now, n, 0.0)
        tokens = self.tokens(now) - n
        wait = self._wait(limit, -tokens) if tokens < 0.0 else 0
        if n > self._burst or wait > max_wait:
            return Reservation(False, INF_DURATION, 0, 0, limit)
        self._refilled_at = now
        self._tokens = tokens
        self._last_event = now + wait
        return Reservation(True, max(wait, 0), now + wait, n, limit)

    def allow(self, now: Nanoseconds) -> bool:
        """Take one token if it is there; False, and nothing taken, if it is not."""
        return self.allow_n(now, 1)

    def allow_n(self, now: Nanoseconds, n: int) -> bool:
        """Take `n` tokens if they are all there; False, and nothing taken, if they are not."""
        return self.reserve_n(now, n, 0).ok

    def cancel(self, now: Nanoseconds, reservation: Reservation) -> None:
        """Give back what nobody has reserved on top of since; nothing if its time has already come (CancelAt)."""
        if not reservation.ok or self._limit == _INFINITE_RATE:
            return
        if reservation.tokens == 0 or reservation.time_to_act < now:
            return
        if self._last_event is None:
            since = _MIN_DURATION
        else:
            since = min(max(self._last_event - reservation.time_to_act, _MIN_DURATION), INF_DURATION)
        restored = float(reservation.tokens) - _tokens_from_duration(reservation.limit, since)
        if restored <= 0.0:
            return
        self._tokens = min(self.tokens(now) + restored, self._burst)
        self._refilled_at = now
        if reservation.time_to_act == self._last_event:
            previous = reservation.time_to_act + self._wait(reservation.limit, float(-reservation.tokens))
            if previous >= now:
                self._last_event = previous

    def tokens(self, now: Nanoseconds) -> float:
        """Tokens there would be at `now`; negative while there is debt. Changes nothing (TokensAt)."""
        elapsed = max(now - self._refilled_at, 0)
        tokens = self._tokens + _tokens_from_duration(self._limit, min(elapsed, INF_DURATION))
        return min(tokens, self._burst)

    def set_rate(self, now: Nanoseconds, rate: float) -> None:
        """From `now` on tokens flow at `rate`; what is already promised keeps its time (SetLimitAt)."""
        self._tokens = self.tokens(now)
        self._refilled_at = now
        self._limit = _as_limit(rate)

    def set_burst(self, now: Nanoseconds, burst: int) -> None:
        """From `now` on the bucket holds `burst` tokens; a surplus is cut off at the next call (SetBurstAt)."""
        self._tokens = self.tokens(now)
        self._refilled_at = now
        self._burst = float(burst)


    @staticmethod
    def _wait(limit: float, tokens: float) -> Nanoseconds:
        return _duration_from_tokens(limit, tokens)


class TokenBucketBefore010(TokenBucket):
    """As golang.org/x/time v0.7 to v0.9: a wait too long for an int64 turns negative (amd64), so there is none."""

    __slots__ = ()

    @staticmethod
    def _wait(limit: float, tokens: float) -> Nanoseconds:
        if limit <= 0.0:
            return INF_DURATION
        duration = tokens / limit * 1e9
        return int(duration) if -_TWO_TO_63 <= duration < _TWO_TO_63 else _MIN_DURATION


class TokenBucketBefore007(TokenBucketBefore010):
    """As golang.org/x/time up to v0.6: at rate 0 each call takes its tokens from the burst, for good, and never waits.

    The bucket starts empty, long ago: at a positive rate that is full, at rate 0 its `tokens` are 0.
    """

    __slots__ = ()

    def __init__(self, rate: float, burst: int):
        super().__init__(rate, burst)
        self._tokens = 0.0

    def reserve(self, now: Nanoseconds) -> Nanoseconds:
        """As Reserve().Delay()."""
        return self.reserve_n(now, 1).delay

    def reserve_n(self, now: Nanoseconds, n: int, max_wait: Nanoseconds = INF_DURATION) -> Reservation:
        """Take `n` tokens if they can be had within `max_wait`, or, at rate 0, from what is left of the burst."""
        if self._limit != 0.0:
            return super().reserve_n(now, n, max_wait)
        ok = self._burst >= n
        if ok:
            self._burst -= n
        return Reservation(ok, 0 if ok else INF_DURATION, now, int(self._burst), 0.0)


def bucket_for(release: tuple[int, int]) -> type[TokenBucket]:
    """The bucket of this release of golang.org/x/time, given as (0, 14)."""
    if release < (0, 7):
        return TokenBucketBefore007
    return TokenBucketBefore010 if release < (0, 10) else TokenBucket


def _as_limit(rate: float) -> float:
    if rate != rate:
        raise ValueError("a rate of tokens per second cannot be NaN")
    return min(float(rate), _INFINITE_RATE)


def _tokens_from_duration(limit: float, duration: Nanoseconds) -> float:
    if limit <= 0.0:
        return 0.0
    if duration < 0:  # Go divides toward zero, Python toward minus infinity
        return -((-duration) // SECOND + (-duration) % SECOND / 1e9) * limit
    return (duration // SECOND + duration % SECOND / 1e9) * limit


def _duration_from_tokens(limit: float, tokens: float) -> Nanoseconds:
    if limit <= 0.0:
        return INF_DURATION
    duration = tokens / limit * 1e9
    if duration > _TWO_TO_63:
        return INF_DURATION
    if duration == _TWO_TO_63 or duration <= -_TWO_TO_63:  # what amd64 makes of a float that no int64 holds
        return _MIN_DURATION
    return int(duration)
