"""etcd's watchers, as its `watchableStore` keeps them: synced, unsynced, or victims.

    synced     has everything up to now: hears of each write inside its apply, or finds its stream's channel full and is a victim
    victim     has a response that did not fit; it is tried again every 10 ms. Then it is synced if it missed nothing, else unsynced
    unsynced   wants revisions that are past. Every 100 ms a round takes up to 512 of them, reads ALL revisions from the oldest that
               one of them wants up to now, and gives each at most 1,000 of those that it watches: synced if that was all

A round holds the mutex that the end of each write's apply takes, and reads under the lock that commits take: to the applier it is
one more user of the batch lock. A watcher of a revision that is compacted is cancelled in its round, if its channel has room.

`due` says when something happens next here that nobody else causes; `turn` lets it happen. Who applies calls `wrote` with what was
written, in order, and gives way to `turn` first.

Sources: etcd server/storage/mvcc/watchable_store.go (watch, syncWatchersLoop, syncWatchers, syncVictimsLoop, moveVictims, notify),
watcher_group.go (eventBatch.add, choose, chooseAll); 3.6.0 to 3.6.8: rangeEventsWithReuse. Simplified: a round takes watchers in
turn (real: in the random order of a map); a new victim does not have the older ones tried again at once; all events of a revision
count as one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sim.etcd.request import Shape
from sim.etcd.watch_groups import NOTHING, Group, Part, State, Stream, Target
from sim.etcd.watch_stream import Array, WatchStream
from sim.hardware.disk import NEVER
from sim.journal import Journal
from sim.units import MILLISECOND, Nanoseconds

RESYNC: Final[Nanoseconds] = 100 * MILLISECOND
"""From the end of a round to the next one (watchResyncPeriod)."""
RETRY: Final[Nanoseconds] = 10 * MILLISECOND
"""From one try of the victims to the next (syncVictimsLoop)."""
PER_ROUND: Final = 512
"""Watchers of a round (maxWatchersPerSync)."""
PER_WATCHER: Final = 1_000
"""Revisions that a watcher gets in a round (watchBatchMaxRevs)."""
_FORGETS: Final = 65_536


@dataclass(frozen=True, slots=True)
class WatchRules:
    """What the version and the machine decide. channel: responses that a stream's channel holds. reuses: a round keeps the events
    that it has read for the next one (3.6.0 to 3.6.8). scan: to read and decode a revision in a round; match: to look for who
    watches it, and for each watcher that does; event: to tell a synced watcher of a write; ns."""

    channel: int = 128
    reuses: bool = False
    scan: Nanoseconds = 0
    match: Nanoseconds = 0
    event: Nanoseconds = 0


class Watchers:
    """All watchers of a store. Journal `slow`: how many were not synced, from when on."""

    def __init__(self, rules: WatchRules, phase: Nanoseconds = 0):
        self.rules = rules
        self.targets: list[Target] = []
        self._by_shape: dict[str, list[Target]] = {}
        self._opens: list[tuple[Nanoseconds, int, Group]] = []
        self._expected = 0
        self._polled = phase  # some turn of the loop that looks for unsynced watchers
        self._round_at: Nanoseconds = NEVER
        self._victims_at: Nanoseconds = NEVER
        self._opens_at: Nanoseconds = NEVER
        self._now: Nanoseconds = 0
        self._unsynced: list[tuple[Stream, Part]] = []
        self._victims: list[tuple[Stream, Part]] = []
        self._reused: tuple[int, int] | None = None  # revisions that the last round kept
        self._slow = self._told_slow = 0  # watchers that are not synced: now, and as the journal has it
        self._told_at: Nanoseconds = 0
        self.due: Nanoseconds = NEVER
        self.slow = Journal(1)
        self.most_slow = self.rounds = self.scanned = 0
        self.slow_time: Nanoseconds = 0
        self.locked: Nanoseconds = 0
        self.longest_round: Nanoseconds = 0

    # ---- who watches what

    def target(self, shapes: list[Shape]) -> Target:
        """What is watched by whoever watches objects of these kinds."""
        names = {shape.name for shape in shapes}
        for known in self.targets:
            if {shape.name for shape in known.shapes} == names:
                return known
        target = Target(shapes)
        self.targets.append(target)
        for name in names:
            self._by_shape.setdefault(name, []).append(target)
        return target

    def expect(self, group: Group) -> None:
        """Watchers will open."""
        self._expected += 1
        insort(self._opens, (group.at, self._expected, group))
        self._plan()

    def existed(self, shape: Shape, revision: int, count: int) -> None:
        """Keys were there before the start: the first of them at `revision`."""
        for target in self._by_shape.get(shape.name, ()):
            target.revisions.extend(range(revision, revision + count))
            target.times.extend([0] * count)

    # ---- what happens

    def wrote(self, shape: Shape, revision: int, times: Array) -> None:
        """Objects of a kind were written, applied at these times; the last one is `revision`."""
        targets = self._by_shape.get(shape.name)
        count = len(times)
        self._now = max(self._now, int(times[-1]))
        for target in targets or ():
            first = revision - count + 1
            if self._opens or self._unsynced or self._victims or target.streams:
                target.revisions.extend(range(first, revision + 1))
                target.times.frombytes(times.tobytes())
            for stream in target.streams:
                self._notify(stream, first, times)
            if len(target.times) > target.kept + _FORGETS:
                self._forget(target)

    def turn(self, free: Nanoseconds, current: int, compacted: int) -> tuple[Nanoseconds, Nanoseconds] | None:
        """What is due happens. free: when the batch lock is; current, compacted: revisions. A round returns from when to when it
        has the lock."""
        due = self.due
        held = None
        if due == self._opens_at:
            self._now = max(self._now, due)
            self._open(self._opens.pop(0)[2], current)
        elif due == self._victims_at:
            self._now = max(self._now, due)
            self._try_victims(self._now, current)
        else:
            begins = max(due, free)
            ends = self._sync(begins, current, compacted)
            self._now = max(self._now, ends)
            held = begins, ends
        self._observe()
        self._plan()
        return held

    def _plan(self) -> None:
        self._opens_at = self._opens[0][0] if self._opens else NEVER
        if not self._unsynced:
            self._round_at = NEVER
        elif self._round_at >= NEVER:  # the loop comes round every 100 ms, whether there is something to do or not
            self._polled += -(-max(0, self._now - self._polled) // RESYNC) * RESYNC
            self._round_at = self._polled
        self.due = min(self._opens_at, self._victims_at, self._round_at)

    def _observe(self) -> None:
        slow = self._slow
        if slow == self._told_slow:
            return
        self.slow_time += self._told_slow * (self._now - self._told_at)
        self._told_slow, self._told_at = slow, self._now
        self.most_slow = max(self.most_slow, slow)
        self.slow.times.append(self._now)
        self.slow.columns[0].append(slow)

    def slow_until(self, now: Nanoseconds) -> Nanoseconds:
        """How long watchers have been behind by now, each of them counted."""
        return self.slow_time + self._told_slow * max(0, now - self._told_at)

    def pending(self, now: Nanoseconds) -> int:
        """Events in the channels of all streams."""
        return sum(stream.channel.pending(now) * stream.copies for target in self.targets for stream in target.streams)

    # ---- opening

    def _open(self, group: Group, current: int) -> None:
        """A watcher each on streams that are all alike; or several on each, and then one stream after the other."""
        wants = max(1, current + 1 - group.behind)
        copies = [group.streams] if group.each == 1 else [1] * group.streams
        group.tally.opened += group.streams * group.each
        group.tally.watchers += group.streams * group.each
        for count in copies:
            channel = WatchStream(group.client, self.rules.channel, group.tally.heard, self._now, count)
            part = Part(group.each, wants, State.UNSYNCED)
            stream = Stream(group, channel, [part])
            group.target.streams.append(stream)
            self._slow += count * part.count
            if wants > current:
                self._synced(stream, part)
            else:
                self._unsynced.append((stream, part))

    def _synced(self, stream: Stream, part: Part) -> None:
        self._slow -= stream.copies * part.count
        stream.group.target.slow_down(self.rules.event * stream.copies * part.count)
        part.state, part.held = State.SYNCED, NOTHING
        for other in stream.parts:
            if other is not part and other.state is State.SYNCED:
                other.count += part.count
                stream.parts.remove(part)
                return

    def _unsync(self, stream: Stream, part: Part) -> None:
        part.state, part.held = State.UNSYNCED, NOTHING
        self._unsynced.append((stream, part))

    # ---- synced watchers, and victims

    def _notify(self, stream: Stream, first: int, times: Array) -> None:
        """Tell the synced watchers of a stream; from the first write that finds the channel full on, they are victims."""
        while len(times):
            synced = next((part for part in stream.parts if part.state is State.SYNCED), None)
            if synced is None:
                return
            fits = stream.channel.put_many(times, synced.count)
            self._told(stream, synced, min(fits + 1, len(times)), int(times[min(fits, len(times) - 1)]))
            if fits == len(times):
                return
            self._overflows(stream, synced, first + fits, times[fits : fits + 1])
            first, times = first + fits + 1, times[fits + 1 :]

    def _told(self, stream: Stream, part: Part, writes: int, at: Nanoseconds) -> None:
        tally = stream.group.tally
        tally.applying += writes * self.rules.event * part.count * stream.copies
        tally.pending = max(tally.pending, stream.channel.pending(at))

    def _overflows(self, stream: Stream, part: Part, revision: int, happened: Array) -> None:
        """A write's responses find room in the channel for some of its watchers at most."""
        at = int(happened[0])
        fits = stream.channel.room(at)
        stream.put(part, fits, at, happened)
        victims = stream.take_part(part, part.count - fits) if fits else part
        victims.state, victims.held, victims.wants = State.VICTIM, happened, revision + 1
        self._victims.append((stream, victims))
        stream.group.tally.full += victims.count * stream.copies
        stream.group.target.slow_down(-self.rules.event * stream.copies * victims.count)
        self._slow += victims.count * stream.copies
        self._now = max(self._now, at)
        self._victims_at = min(self._victims_at, self._next_try(stream, at))
        self._observe()
        self._plan()

    def _try_victims(self, now: Nanoseconds, current: int) -> None:
        victims, self._victims, self._victims_at = self._victims, [], NEVER
        for stream, part in victims:
            fits = min(stream.channel.room(now), part.count)
            if fits < part.count:
                self._victims.append((stream, part))
                self._victims_at = min(self._victims_at, self._next_try(stream, now))
                if not fits:
                    continue
                moved = stream.take_part(part, fits)
            else:
                moved = part
            stream.put(moved, fits, now, moved.held)
            if moved.wants <= current:
                self._unsync(stream, moved)
            else:
                self._synced(stream, moved)

    @staticmethod
    def _next_try(stream: Stream, now: Nanoseconds) -> Nanoseconds:
        """When the first of the tries, every 10 ms from now on, finds room: those before it change nothing."""
        room = stream.channel.room_at(now)
        return NEVER if room >= NEVER else now + max(1, -(-(room - now) // RETRY)) * RETRY

    # ---- unsynced watchers

    def _choose(self) -> list[tuple[Stream, Part]]:
        """Up to 512 watchers, who are not in the group of unsynced ones then."""
        waiting, self._unsynced = self._unsynced, []
        room, chosen = PER_ROUND, []
        for place, (stream, part) in enumerate(waiting):
            if stream.copies * part.count > room:
                self._unsynced = waiting[place:]
                if room and stream.copies > 1:
                    own = stream.take(room)
                    stream.group.target.streams.append(own)
                    chosen.append((own, own.parts[0]))
                elif room:
                    chosen.append((stream, stream.take_part(part, room)))
                break
            room -= stream.copies * part.count
            chosen.append((stream, part))
        return chosen

    def _sync(self, begins: Nanoseconds, current: int, compacted: int) -> Nanoseconds:
        """A round that begins now: when it ends."""
        before = self._count(self._unsynced)
        chosen = self._choose()
        wanted = [(stream, part) for stream, part in chosen if part.wants >= compacted]
        oldest = min((part.wants for _, part in wanted), default=current + 1)
        ends = begins + self._cost(wanted, oldest, current)
        for stream, part in chosen:
            if part.wants < compacted:
                self._cancel(stream, part, begins)
        for stream, part in wanted:
            behind = current + 1 - part.wants
            stream.group.tally.behind = max(stream.group.tally.behind, behind)
            self._catch_up(stream, part, ends, current)
        left = self._count(self._unsynced)
        self._polled = self._round_at = ends + (ends - begins if 0 < left < before else RESYNC)
        self.rounds += 1
        self.locked += ends - begins
        self.longest_round = max(self.longest_round, ends - begins)
        for target in self.targets:
            if len(target.times) > target.kept + _FORGETS or not self._wants(target):
                self._forget(target)
        return ends

    @staticmethod
    def _count(some: list[tuple[Stream, Part]]) -> int:
        return sum(stream.copies * part.count for stream, part in some)

    def _cost(self, wanted: list[tuple[Stream, Part]], oldest: int, current: int) -> Nanoseconds:
        """How long a round reads from `oldest` on, and looks for who watches what it has read."""
        rules, count = self.rules, current + 1 - oldest
        read = count
        if rules.reuses:
            if self._reused is not None and self._reused[0] <= current:
                first, last = self._reused
                read = max(0, first - oldest) + current - max(last, oldest - 1)
            self._reused = (oldest, current) if count else None
        self.scanned += read
        matches = count
        for stream, part in wanted:
            revisions = stream.group.target.revisions
            matches += (len(revisions) - bisect_left(revisions, part.wants)) * part.count * stream.copies
        return read * rules.scan + matches * rules.match

    def _catch_up(self, stream: Stream, part: Part, at: Nanoseconds, current: int) -> None:
        """A watcher gets what the round has for it."""
        target = stream.group.target
        first = bisect_left(target.revisions, part.wants)
        upto = min(first + PER_WATCHER, len(target.revisions))
        more = upto < len(target.revisions)
        part.wants = target.revisions[upto] if more else current + 1
        if first < upto:
            happened = np.array(target.times[first:upto], dtype=np.int64)
            fits = min(stream.channel.room(at), part.count)
            stream.put(part, fits, at, happened)
            if fits < part.count:
                victims = stream.take_part(part, part.count - fits) if fits else part
                victims.state, victims.held = State.VICTIM, happened
                self._victims.append((stream, victims))
                self._victims_at = min(self._victims_at, self._next_try(stream, at))
                if not fits:
                    return
        if more:
            self._unsync(stream, part)
        else:
            self._synced(stream, part)

    def _cancel(self, stream: Stream, part: Part, at: Nanoseconds) -> None:
        """What a watcher wants is compacted: it is told, and gone; where there is no room to tell it, the next round does."""
        group, fits = stream.group, min(stream.channel.room(at), part.count)
        stream.put(part, fits, at, NOTHING)
        if fits:
            group.tally.compacted += fits * stream.copies
            group.tally.watchers -= fits * stream.copies
            self._slow -= fits * stream.copies
            if group.again is not None:
                self.expect(replace(group, streams=stream.copies, each=fits, at=at + group.again, behind=0))
        part.count -= fits
        if part.count:
            self._unsync(stream, part)
            return
        stream.parts.remove(part)
        if not stream.parts:
            group.target.streams.remove(stream)

    # ---- history

    def _wants(self, target: Target) -> bool:
        """Whether somebody may want revisions of it that are past."""
        opens = any(group.behind and group.target is target for _, _, group in self._opens)
        return opens or any(stream.group.target is target for stream, _ in (*self._unsynced, *self._victims))

    def _forget(self, target: Target) -> None:
        """Drop what nobody can want any more."""
        opening = [group.behind for _, _, group in self._opens if group.behind and group.target is target]
        wants = [part.wants for stream, part in (*self._unsynced, *self._victims) if stream.group.target is target]
        upto = bisect_left(target.revisions, min(wants)) if wants else len(target.revisions)
        if opening:  # a row is a revision, or more where others are written, too
            upto = min(upto, max(0, len(target.revisions) - max(opening)))
        del target.revisions[:upto], target.times[:upto]
        target.kept = len(target.times)

