"""A follower as a station: append, save, acknowledge.

Messages of the leader's stream arrive in order; what arrives before the next save starts rides in it (group commit); the
answer leaves after the save. So the time of an acknowledgement is known as soon as the message is sent.

Of one follower at most 512 messages are under way. A request is a message of its own while there is room; what has to wait for
an acknowledgement goes then, in messages of up to 1 MiB.

Sources: etcd server/etcdserver/raft.go (start: a follower sends after its save; maxSizePerMsg, maxInflightMsgs); go.etcd.io/raft
raft.go (maybeSendAppend, stepLeader), tracker/progress.go (IsPaused), util.go (limitSize); etcd server/storage/wal/wal.go (cut).
Simplified: what waited for an acknowledgement does not wait for the leader's save besides; each message writes a HardState, and a
segment is full by message, not by save.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from typing import Final

from sim.etcd.member import Member
from sim.hardware.cpu import Cpu
from sim.hardware.route import Route
from sim.units import Bytes, Nanoseconds

_RECONNECT: Nanoseconds = 100_000_000
"""A member that starts again is dialled within this time (rafthttp: stream.go, 100 ms between two attempts)."""
MESSAGE: Final[Bytes] = 2**20
"""Most bytes of entries in one message, though always one entry (maxSizePerMsg)."""
WINDOW: Final = 512
"""Most messages to one follower that it has not acknowledged (maxInflightMsgs)."""


Postponed = tuple[int, Nanoseconds, Nanoseconds]
"""An acknowledgement that is later than was said, newest first: of which follower with a vote, when it was to come, and comes."""


class Follower:
    """One follower's log, as the leader's messages make it grow. `there` and `back` are the ways from and to the leader.

    Each message brings its own three draws, there, fdatasync and back; a save takes that of the first message that rides in it, and
    the bytes of all.

    cpu: the cores that it shares with the leader, None where it has its own. turn, entry: what a turn of its Ready loop and each
    message in it cost there; wake: what a turn costs on other threads, nanoseconds.

    arrived: when each message has come, from the one with the ordinal `noted_from` on (see `noted`). postponed: acknowledgements
    that come later because another message has joined their save; place: its own in that list.
    """

    __slots__ = (
        "_back", "_departs", "_draws", "_ended", "_last_ack", "_last_arrival", "_log", "_ns_per_byte", "_riding", "_save_ends",
        "_save_starts", "_spare", "_stalls", "_there", "_took", "_unacked", "_under_way", "_window", "_works", "arrived", "cpu",
        "entry", "member", "noted_from", "place", "postponed", "turn", "wake",
    )  # fmt: skip

    def __init__(self, member: Member, there: Route, back: Route):
        disk = member.wal
        self.member, self._there, self._back = member, there, back
        self._draws = zip(iter(there.draw, None), iter(disk.draw, None), iter(back.draw, None), strict=False).__next__
        self._ns_per_byte, self._stalls = disk.ns_per_byte, disk.stalls
        self._log = member.log
        self._last_arrival: Nanoseconds = 0
        self._save_starts: Nanoseconds = -1
        self._save_ends: Nanoseconds = member.busy_until
        self._works: list[Nanoseconds] = []  # of the last save: of each of its fdatasyncs, with the bytes
        self._riding: list[tuple[Nanoseconds, int]] = []  # messages in that save, and their way back
        self.cpu: Cpu | None = None
        self.turn = self.entry = self.wake = 0
        self.place = -1
        self.postponed: list[Postponed] = []
        self._last_ack: Nanoseconds = 0
        self._unacked: deque[tuple[Nanoseconds, int]] = deque()  # (acknowledged at, messages): some may be by now
        self._under_way = 0  # messages in it
        self._window = WINDOW
        self._departs: Nanoseconds = 0  # when the last messages go that had to wait for room
        self._spare: Bytes = 0  # what the last of them still has room for
        self._ended, self._took = member.saves.times.append, member.saves.columns[0].append
        self.arrived: array[Nanoseconds] = array("q")
        self.noted_from = 0

    def append(self, sent: Nanoseconds, size: Bytes, messages: int = 1) -> Nanoseconds:
        """Time at which the leader has the acknowledgement of `size` bytes of entries that it sends at `sent`, each a message."""
        if self._under_way + messages > self._window:
            return self._squeeze(sent, size, messages)
        self._under_way += messages
        there, fdatasync, back = self._draws()
        arrived = sent + there
        if arrived < self._last_arrival:  # one stream: in order
            arrived = self._last_arrival
        self._last_arrival = arrived
        work = fdatasync + int(size * self._ns_per_byte)
        if self.cpu is not None:
            work += self._waits(self.cpu, sent, messages, arrived > self._save_starts)
        full = self._log.write(size + 40)  # wal.HARD_STATE_FRAME
        if arrived <= self._save_starts:  # it rides in the save already planned
            ends = self._join(work - fdatasync, full)
        else:
            ends = self._save_ends
            self._save_starts = starts = arrived if arrived > ends else ends
            ends = starts + work
            if self._stalls is not None:
                ends = self._stalls.finish(starts, ends)
            self._save_ends = ends
            self._ended(ends)
            self._took(ends - starts)
            self._works, self._riding = [work], []
            if full:
                ends = self._cut()
        self._riding.append((back, messages))
        acked = ends + back
        if acked < self._last_ack:
            acked = self._last_ack
        self._last_ack = acked
        self._unacked.append((acked, messages))
        return acked

    def _waits(self, cpu: Cpu, now: Nanoseconds, messages: int, turns: bool) -> Nanoseconds:
        """How much longer a save takes on shared cores: its turn's work, and a wait for a core before it and after its fdatasync.

        turns: whether a turn of its Ready loop begins with these messages.
        """
        wait, own = cpu.wait(now), self.entry * messages
        if turns:
            own += self.turn
            cpu.urge(now, self.wake)
        cpu.urge(now, own)
        return 2 * wait + own if turns else own

    def _over(self, ends: Nanoseconds) -> Nanoseconds:
        """When the process knows of an fdatasync that is over."""
        return ends

    def _answered(self, ends: Nanoseconds, back: Nanoseconds) -> Nanoseconds:
        """When an answer is there that leaves at `ends`."""
        return ends + back

    def _cut(self) -> Nanoseconds:
        """A segment is cut after the save: fdatasyncs of the new file and of the directory. When they are done."""
        self._log.cut()
        draw = self.member.wal.draw
        self._works += [draw(), draw()]
        return self._lay()

    def _lay(self) -> Nanoseconds:
        """Note the fdatasyncs of the planned save again: when the last one is over."""
        times, durations = self.member.saves.times, self.member.saves.columns[0]
        while times and times[-1] - durations[-1] >= self._save_starts:
            times.pop()
            durations.pop()
        ends = self._save_starts
        for work in self._works:
            starts = ends
            ends = self._over(starts + work if self._stalls is None else self._stalls.finish(starts, starts + work))
            times.append(ends)
            durations.append(ends - starts)
        self._save_ends = ends
        return ends

    def _join(self, write: Nanoseconds, full: bool) -> Nanoseconds:
        """One more message rides in the planned save, which takes longer by its bytes: when that is over.

        Acknowledgements that were said come later, too.
        """
        self._works[0] += write
        ends = self._cut() if full else self._lay()
        unacked, riding = self._unacked, self._riding
        first = len(unacked) - len(riding)
        last = unacked[first - 1][0] if first else 0
        late: list[Postponed] = []
        for number, (back, messages) in enumerate(riding, first):
            said = unacked[number][0]
            last = max(self._answered(ends, back), last)
            if last != said:
                unacked[number] = last, messages
                late.append((self.place, said, last))
        if self.place >= 0:
            self.postponed.extend(reversed(late))
        self._last_ack = last
        return ends

    def _squeeze(self, sent: Nanoseconds, size: Bytes, entries: int) -> Nanoseconds:
        """As `append`, where not all of it may go: some now, the rest as acknowledgements make room, in messages that are full."""
        each = size // entries
        fits = max(1, MESSAGE // each)
        self._window = WINDOW
        at, acked = self._departs, self._last_ack
        if sent >= at:  # nothing waits
            at, self._spare = sent, 0
            self._free(sent)
            go = min(entries, WINDOW - self._under_way)
            if go:
                part = size if go == entries else each * go
                acked = self.append(sent, part, go)
                size, entries = size - part, entries - go
        while entries:
            self._free(at)
            left = self._spare // each
            go = min(entries, left + (WINDOW - self._under_way) * fits)
            if not go:
                at, self._spare = self._unacked[0][0], 0
                continue
            messages = -(-max(0, go - left) // fits)
            part = size if go == entries else each * go
            acked = self.append(at, part, messages)
            size, entries, self._departs = size - part, entries - go, at
            self._spare = max(0, self._spare - part if not messages else MESSAGE - (go - left - (messages - 1) * fits) * each)
        if self._departs > sent:
            self._window = -1
        return acked

    def _free(self, now: Nanoseconds) -> None:
        """What is acknowledged by now is not under way."""
        unacked = self._unacked
        while unacked and unacked[0][0] <= now:
            self._under_way -= unacked.popleft()[1]

    def noted(self, sent: Nanoseconds, size: Bytes, messages: int = 1) -> Nanoseconds:
        """As `append`, and remembers when it arrives: the lead may change, and then counts who has what."""
        acked = self.append(sent, size, messages)
        self.arrived.append(self._last_arrival)
        return acked

    def note_from(self, ordinal: int) -> None:
        """Begin to note, with the last message that was sent, whose ordinal this is."""
        self.noted_from = ordinal
        self.arrived.append(self._last_arrival)

    def has(self, now: Nanoseconds) -> int:
        """The ordinal of the last message that has come by now; one before `noted_from` where none of the noted has."""
        return self.noted_from + bisect_right(self.arrived, now) - 1

    def heard(self, now: Nanoseconds) -> Nanoseconds:
        """When the last of the noted messages has come by now; -1 where none has."""
        place = bisect_right(self.arrived, now)
        return self.arrived[place - 1] if place else -1

    def forget(self, ordinal: int) -> None:
        """Messages up to that ordinal are of no interest any more; the last one that is noted stays."""
        count = min(ordinal - self.noted_from + 1, len(self.arrived) - 1)
        if count > 0:
            del self.arrived[:count]
            self.noted_from += count

    def wait(self, now: Nanoseconds, until: Nanoseconds) -> None:
        """It gets a whole database, and takes what else has been sent when it has that."""
        self._last_arrival = max(self._last_arrival, until)
        for place in range(bisect_left(self.arrived, now), len(self.arrived)):
            self.arrived[place] = max(self.arrived[place], until)

    def save_at(self, at: Nanoseconds) -> tuple[Nanoseconds, Nanoseconds]:
        """From when until when the save lasts that is in progress at `at`; (at, at) where none is."""
        times, durations = self.member.saves.times, self.member.saves.columns[0]
        place = bisect_right(times, at)
        if place < len(times) and times[place] - durations[place] <= at:
            return times[place] - durations[place], times[place]
        return at, max(at, self.member.busy_until)

    def saving(self, at: Nanoseconds) -> Nanoseconds:
        """Until when the save lasts that is in progress at `at`; `at` where none is."""
        return self.save_at(at)[1]

    def answers(self, at: Nanoseconds) -> Nanoseconds:
        """When it answers a message without entries that reaches it at `at`: after its save in progress."""
        return self.save_at(at)[1]

    def learns(self, sent: Nanoseconds, rides: bool) -> Nanoseconds:
        """When its Ready loop hears of a commit that the leader tells at `sent`, with the entries of that moment or alone.

        It comes behind what was sent before, and waits for the save in progress.
        """
        if rides:
            return self._save_starts
        self._last_arrival = arrived = max(self._there.arrives(sent, self._there.aside()), self._last_arrival)
        arrived = self.member.down.after(arrived)
        if arrived <= self._save_starts:
            return self._save_starts
        return max(arrived, self._save_ends)

    def leave(self, now: Nanoseconds) -> None:
        """The leader it follows is no longer its leader: a save that has not begun will not, one that has ends as planned."""
        member = self.member
        times, durations = member.saves.times, member.saves.columns[0]
        while times and times[-1] - durations[-1] > now:
            times.pop()
            durations.pop()
        member.busy_until = max(times[-1] if times else 0, now)


class TroubledFollower(Follower):
    """A follower that is paused or crashes, or whose links are cut or lose more than usual: all known beforehand.

    A process that is paused takes what has come meanwhile after the pause. What it had not saved when it crashed, and what comes
    until it is back, it is sent again then.
    """

    __slots__ = ("_through",)

    def __init__(self, member: Member, there: Route, back: Route):
        super().__init__(member, there, back)
        self._through: Nanoseconds = 0  # when the bytes of the last message were there, whether anybody took them or not

    def append(self, sent: Nanoseconds, size: Bytes, messages: int = 1) -> Nanoseconds:
        """Time at which the leader has the acknowledgement of `size` bytes of entries that it sends at `sent`, each a message."""
        if self._under_way + messages > self._window:
            return self._squeeze(sent, size, messages)
        self._under_way += messages
        there, fdatasync, back = self._draws()
        member = self.member
        self._through = max(self._there.arrives(sent, there), self._through)
        arrived = max(member.down.after(self._through), self._last_arrival)
        work = fdatasync + int(size * self._ns_per_byte)
        if self.cpu is not None:
            work += self._waits(self.cpu, sent, messages, arrived > self._save_starts)
        full = self._log.write(size + 40)  # wal.HARD_STATE_FRAME
        if arrived <= self._save_starts:
            ends = self._join(work - fdatasync, full)
        else:
            ends = self._save_ends
            while True:
                starts = max(arrived, ends)
                ends = starts + work if self._stalls is None else self._stalls.finish(starts, starts + work)
                lost = member.crash_between(arrived, ends)
                if lost is None:
                    break
                arrived, ends = lost + _RECONNECT, lost  # gone with the process: sent again
            self._save_starts, self._works, self._riding = starts, [work], []
            ends = self._cut() if full else self._lay()
        self._last_arrival = arrived
        self._riding.append((back, messages))
        acked = max(self._answered(ends, back), self._last_ack)
        self._last_ack = acked
        self._unacked.append((acked, messages))
        return acked

    def _over(self, ends: Nanoseconds) -> Nanoseconds:
        return self.member.down.after(ends)

    def _answered(self, ends: Nanoseconds, back: Nanoseconds) -> Nanoseconds:
        return self._back.arrives(ends, back)

    def answers(self, at: Nanoseconds) -> Nanoseconds:
        """When the leader could have the answer to a message without entries that reaches it at `at` where all is well."""
        taken = self.member.down.after(self._there.arrives(at, 0))
        return self._back.arrives(self.member.down.after(self.saving(taken)), 0)
