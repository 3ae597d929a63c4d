"""One direction of the connection between two members: what a cut or a loss does to messages.

TCP loses nothing, it delays: what is sent while a path is cut is sent again 0.2, 0.6, 1.4 and 3.0 s after the cut began, and all
behind it waits. After 5 s of silence both ends give the connection up and dial anew, every 2.1 s with a second try after 1 s,
until one comes through; raft then repeats what is missing. So a cut becomes a longer time without messages, known beforehand.

Source: Linux net/ipv4/tcp_timer.c; etcd server/etcdserver/api/rafthttp/peer.go (ConnReadTimeout), stream.go, transport.go
(DialTimeout: 1 s + one election timeout). Simplified: something is sent the moment that a cut begins (heartbeats are: each 100 ms).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from sim.hardware.disk import NEVER
from sim.hardware.link import RTO, waited
from sim.streams import Stream
from sim.units import MILLISECOND, SECOND, Nanoseconds

GIVEN_UP: Final[Nanoseconds] = 5 * SECOND
"""Silence after which a connection is replaced: what was under way is lost (rafthttp: ConnReadTimeout)."""
_DIAL: Final[Nanoseconds] = 2 * SECOND + 100 * MILLISECOND
_SECOND_TRY: Final[Nanoseconds] = SECOND


def back_at(cut: Nanoseconds, until: Nanoseconds) -> Nanoseconds:
    """When the first message gets through again, of a path that is cut from `cut` until `until`."""
    losses = 1
    while waited(losses) < GIVEN_UP:
        if cut + waited(losses) >= until:
            return cut + waited(losses)
        losses += 1
    dials = cut + GIVEN_UP
    if until > dials:
        dials += (until - dials) // _DIAL * _DIAL
        for attempt in (dials, dials + _SECOND_TRY, dials + _DIAL):
            if attempt >= until:
                return attempt
    return dials


class Route:
    """Messages from one member to another. cuts: (from, until) in which nothing gets through, nanoseconds.

    draw: the time of a message where all is well, of what is replicated. `aside` draws that of a message about who leads.
    spells: (from, until, draw of what losses add) while a path loses more than usual.
    """

    __slots__ = ("_begins", "_ends", "_spells", "aside", "draw")

    def __init__(
        self, draw: Callable[[], Nanoseconds], aside: Callable[[], Nanoseconds],
        cuts: Sequence[tuple[Nanoseconds, Nanoseconds]] = (),
        spells: Sequence[tuple[Nanoseconds, Nanoseconds, Callable[[], Nanoseconds]]] = (),
    ):  # fmt: skip
        self.draw, self.aside, self._spells = draw, aside, tuple(spells)
        self.cut(cuts)

    def cut(self, cuts: Sequence[tuple[Nanoseconds, Nanoseconds]]) -> None:
        """These are the times in which nothing gets through."""
        silent: list[tuple[Nanoseconds, Nanoseconds]] = []
        for begins, until in sorted((begins, back_at(begins, until)) for begins, until in cuts):
            if silent and begins <= silent[-1][1]:
                silent[-1] = silent[-1][0], max(until, silent[-1][1])
            else:
                silent.append((begins, until))
        self._begins = [begins for begins, _ in silent]
        self._ends = [ends for _, ends in silent]

    def arrives(self, sent: Nanoseconds, way: Nanoseconds) -> Nanoseconds:
        """When a message sent at `sent` is there, that would take `way` where all is well."""
        for begins, ends, draw in self._spells:
            if begins <= sent < ends:
                way += draw()
        place = bisect_right(self._begins, sent) - 1
        if place >= 0 and sent < self._ends[place]:
            return self._ends[place] + way
        return sent + way

    @property
    def ends(self) -> list[Nanoseconds]:
        """When its silences are over."""
        return self._ends

    def silence(self, at: Nanoseconds) -> tuple[Nanoseconds, Nanoseconds]:
        """The silence that holds at `at`: from when until when; (`at`, `at`) where messages get through."""
        place = bisect_right(self._begins, at) - 1
        return (self._begins[place], self._ends[place]) if place >= 0 and at < self._ends[place] else (at, at)

    def delivers(self, sent: Nanoseconds) -> Nanoseconds:
        """When a message about who leads is there; NEVER where its connection is given up before."""
        begins, ends = self.silence(sent)
        if ends - begins > GIVEN_UP:
            return NEVER
        return self.arrives(sent, self.aside())


class Gaps:
    """When heartbeats over a lossy path come too late, drawn in the time domain: one message an interval.

    loss: the share lost; every: between two heartbeats; longest: the delay from which on it matters; begins, ends: while it lasts,
    all times in nanoseconds.
    """

    __slots__ = ("_ends", "_every", "_gaps", "_longest", "_lost", "_stream", "_until")
    _BLOCK: Final = 8192

    def __init__(
        self, stream: Stream, loss: float, every: Nanoseconds, longest: Nanoseconds, begins: Nanoseconds = 0,
        ends: Nanoseconds = NEVER,
    ):  # fmt: skip
        self._stream, self._every, self._longest, self._until, self._ends = stream, every, longest, begins, ends
        self._lost = np.array([loss**losses for losses in range(1, 6)])
        self._gaps: list[tuple[Nanoseconds, Nanoseconds]] = []

    def next(self, at: Nanoseconds) -> tuple[Nanoseconds, Nanoseconds]:
        """The next heartbeat that is too late, sent at `at` or later: when it was sent, and when it comes; NEVER without one."""
        while True:
            for gap in self._gaps:
                if gap[0] >= at:
                    return gap
            if self._until >= self._ends or not self._lost[0]:
                return NEVER, NEVER
            self._draw()

    def _draw(self) -> None:
        losses = (self._stream.block(self._BLOCK)[:, None] < self._lost[None, :]).sum(axis=1)
        sent = self._until + np.arange(self._BLOCK, dtype=np.int64) * self._every
        late = RTO * ((1 << losses) - 1)
        chosen = (late >= self._longest) & (sent < self._ends)
        self._gaps = [(int(at), int(at + wait)) for at, wait in zip(sent[chosen], late[chosen], strict=True)]
        self._until += self._BLOCK * self._every
