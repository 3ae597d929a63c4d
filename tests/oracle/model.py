"""The oracle: etcd's write path the obvious way, a SimPy process per station and an event for every step. Slow, and plainly right.

    client -> inbox -> Ready loop -> wires -> followers -> wires -> Ready loop -> applier -> client
                       (own save)                                   applier, commit timer, compaction job: behind one lock

Nothing is computed ahead here: whoever waits, waits for an event. It shares with the model under test only what has no order in
time: streams and their tables, the scenario, sizes in bytes, the pages that one commit writes. So both must answer
every request at the same nanosecond; where they do not, one of them has misread etcd (test_oracle.py).

Two things happen at one nanosecond where nothing is drawn between them. A request that finds the Ready loop idle starts its turn
at once; a message that reaches a follower as a save starts rides in it; an acknowledgement that comes as a save ends counts.

Sources: etcd server/etcdserver/raft.go (start), server/storage/wal/wal.go (Save, cut), server/etcdserver/server.go (applyAll,
snapshot), server/storage/backend (backend.go run, batch_tx.go Unlock), server/storage/mvcc (kvstore.go Compact, Commit;
kvstore_compaction.go scheduleCompaction; key_index.go compact), server/etcdserver/v3_server.go and api/v3rpc/quota.go (refusals).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any, Literal

import numpy as np
from simpy import Environment, Event, Resource
from simpy.events import URGENT

from sim import distributions
from sim.etcd import leaf, wal
from sim.etcd.bbolt import Pages
from sim.scenario import Scenario
from sim.scenario import distribution as laws
from sim.scenario.faults import Fault
from sim.scenario.machines import device
from sim.streams import Delays, Streams
from sim.units import SECOND, Bytes, Nanoseconds

Process = Generator[Event, Any, Any]
Draw = Callable[[], Nanoseconds]
Spells = Sequence[tuple[Nanoseconds, Nanoseconds]]
PAGE: Bytes = 4096
PUT_OVERHEAD: Bytes = 256  # quota.go kvOverhead
PORTION: Bytes = 2**20  # raft MaxCommittedSizePerReady
MESSAGE: Bytes = 2**20  # raft MaxSizePerMsg
WINDOW = 512  # raft MaxInflightMsgs


# ---- what passes through


@dataclass(eq=False)
class Request:
    """One request: what it asks for, when it passed which station, what it did to the store and what its caller was told.

    op: put_new (a key that never existed), put, update (if the key's revision is `expected`), delete (likewise), compact (to
    `expected`).
    """

    env: Environment
    op: str
    key: Hashable = None
    key_bytes: Bytes = 0
    value_bytes: Bytes = 0
    expected: int = 0
    arrives: Nanoseconds = -1
    handed: Nanoseconds = -1
    answered: Nanoseconds = -1
    effect: str = ""
    outcome: str = ""
    revision: int = 0
    answer: Event = field(init=False)

    def __post_init__(self) -> None:
        self.answer = self.env.event()

    @property
    def data(self) -> Bytes:
        """Bytes of the raft entry's data."""
        match self.op:
            case "put_new" | "put":
                message = wal.put(self.key_bytes, self.value_bytes)
            case "update":
                message = wal.update(self.key_bytes, self.value_bytes, self.expected)
            case "delete":
                message = wal.delete(self.key_bytes, self.expected)
            case "alarm":
                message = wal.alarm()
            case _:
                message = wal.compaction(self.expected)
        return wal.proposal(message)

    @property
    def grows(self) -> bool:
        """Whether the quota is asked before it."""
        return self.op in ("put_new", "put", "update")

    def tell(self, outcome: str) -> None:
        """Answer the caller, unless that was done: a proposal that timed out is not withdrawn."""
        if not self.answer.triggered:
            self.outcome, self.answered = outcome, int(self.env.now)
            self.answer.succeed()


class Mailbox:
    """Messages in order, for one reader that sleeps while there are none and is woken at once."""

    def __init__(self, env: Environment):
        self._env = env
        self._sleeper: Event | None = None
        self.messages: list[Any] = []

    def put(self, message: Any) -> None:
        self.messages.append(message)
        self.ring()

    def ring(self) -> None:
        """Wake the reader to look around, before anything else happens at this instant."""
        if self._sleeper is not None:
            sleeper, self._sleeper = self._sleeper, None
            sleeper._ok, sleeper._value = True, None
            self._env.schedule(sleeper, URGENT)

    def sleep(self) -> Event:
        self._sleeper = self._env.event()
        return self._sleeper

    def take_all(self) -> list[Any]:
        messages, self.messages = self.messages, []
        return messages

    def next(self) -> Process:
        while not self.messages:
            yield self.sleep()
        return self.messages.pop(0)


# ---- hardware


class Disk:
    """One user's view of a member's disk. `syncs` gets (end, duration) of each write and fdatasync.

    behind: another user of the same device, for whose fdatasync in flight this one waits.
    """

    def __init__(
        self, env: Environment, draw: Draw, bandwidth: float, stalls: list[tuple[Nanoseconds, Nanoseconds]],
        behind: Disk | None = None,
    ):  # fmt: skip
        self._env, self.draw, self._ns_per_byte, self._stalls = env, draw, SECOND / bandwidth, stalls
        self._behind = behind
        self.in_flight: Event | None = None
        self.syncs: list[tuple[Nanoseconds, Nanoseconds]] = []

    def sync(self, size: Bytes) -> Process:
        """Write `size` bytes and make them durable."""
        began = self._env.now
        if self._behind is not None and self._behind.in_flight is not None:
            yield self._behind.in_flight
        self.in_flight = self._env.event()
        yield from self.work(self.draw() + int(size * self._ns_per_byte), began)
        done, self.in_flight = self.in_flight, None
        done.succeed()

    def work(self, work: Nanoseconds, since: float | None = None) -> Process:
        """Be busy for that long. While the disk is frozen nothing gets on. since: when it was asked for, if it had to wait."""
        env = self._env
        began = env.now if since is None else since
        while work:
            frozen_until = max((end for start, end in self._stalls if start <= env.now < end), default=env.now)
            if frozen_until > env.now:
                yield env.timeout(frozen_until - env.now)
                continue
            step = min([work, *(start - int(env.now) for start, _ in self._stalls if start > env.now)])
            yield env.timeout(step)
            work -= step
        self.syncs.append((int(env.now), int(env.now - began)))


class Wire:
    """One direction of a stream between two members: messages arrive in order."""

    def __init__(self, env: Environment, deliver: Callable[[Any], None], cuts: Spells = ()):
        self._env, self._deliver, self._cuts = env, deliver, cuts
        self._under_way = Mailbox(env)
        env.process(self._carry())

    def send(self, message: Any, way: Nanoseconds) -> None:
        leaves = int(self._env.now)
        for cut, healed in self._cuts:
            if cut <= leaves < (through := retried(cut, healed)):
                leaves = through
        self._under_way.put((leaves + way, message))

    def _carry(self) -> Process:
        env = self._env
        while True:
            arrives, message = yield from self._under_way.next()
            if arrives > env.now:  # else it waited behind an earlier one, and arrives with it
                yield env.timeout(arrives - env.now)
            self._deliver(message)


def retried(cut: Nanoseconds, healed: Nanoseconds) -> Nanoseconds:
    """When TCP gets something through again that it first sent as a cut began: 200 ms later, 400 ms after that, 800, ..."""
    at, wait = cut, SECOND // 5
    while at < healed:
        at, wait = at + wait, 2 * wait
    assert at - cut < 5 * SECOND, "the connection would have been given up"
    return at


# ---- raft


class Follower:
    """Saves what has come, all of it at once, and acknowledges each message after that.

    Each message brings its draws with it: its ways, what a save takes that it is the first to ride in, and what cutting a segment
    takes where it fills one.
    """

    def __init__(
        self, env: Environment, disk: Disk, there: Draw, back: Draw, bandwidth: float, segment: Bytes,
        acknowledged: Callable[[int], None], cuts: Spells = (), pauses: Spells = (), after: Event | None = None,
    ):  # fmt: skip
        self._env, self.disk, self._way_there, self._way_back, self._pauses = env, disk, there, back, pauses
        self._inbox = Mailbox(env)
        self._there = Wire(env, self._arrived, cuts)
        self._back = Wire(env, self._acked, cuts)
        self._ns_per_byte, self.log = SECOND / bandwidth, Log(segment, 0)
        self._acknowledged = acknowledged
        self._under_way: list[int] = []  # messages of each part of a batch that is sent and not acknowledged
        self._waiting: list[tuple[int, list[Bytes]]] = []  # batches, or their rests, for which there is no room
        self.has = 0  # the last batch in its log, saved or not
        self.saving: Event | None = None
        self.serves = True  # whoever it hears
        env.process(self._save(after))

    def send(self, batch: int, size: Bytes, entries: int) -> None:
        """The leader sends the entries of a batch, each a message of its own while the window has room.

        Simplified, as in the model under test: the entries of a batch are alike in size.
        """
        sizes = [size // entries] * (entries - 1)
        sizes.append(size - sum(sizes))
        room = 0 if self._waiting else WINDOW - sum(self._under_way)
        if sizes[:room]:
            self._send(batch if len(sizes) <= room else None, sum(sizes[:room]), len(sizes[:room]))
        if sizes[room:]:
            self._waiting.append((batch, sizes[room:]))

    def _send(self, ends: int | None, size: Bytes, messages: int) -> None:
        """ends: the batch that this is the last part of."""
        self._under_way.append(messages)
        way, fdatasync, way_back = self.draw()
        self.log.write(size + wal.HARD_STATE_FRAME)
        files = []
        if self.log.full:
            self.log.cut()
            files = [self.disk.draw() for _ in ("new file", "directory")]
        self._there.send((ends, fdatasync, int(size * self._ns_per_byte), files, way_back), way)

    def draw(self) -> tuple[Nanoseconds, Nanoseconds, Nanoseconds]:
        """What a message takes there, to save and back."""
        return self._way_there(), self.disk.draw(), self._way_back()

    def _acked(self, ends: int | None) -> None:
        self._under_way.pop(0)
        if ends is not None:
            self._acknowledged(ends)
        if self._waiting:
            self._env.process(self._go_on())

    def _go_on(self) -> Process:
        """What waits goes as far as there is room, in messages that are full."""
        yield self._env.timeout(0)  # all acknowledgements of this instant are there
        spare = 0
        while self._waiting:
            batch, sizes = self._waiting[0]
            messages = go = 0
            for size in sizes:
                if size > spare:
                    if sum(self._under_way) + messages == WINDOW:
                        break
                    messages, spare = messages + 1, MESSAGE
                spare, go = spare - size, go + 1
            if not go:
                break
            self._send(None if sizes[go:] else batch, sum(sizes[:go]), messages)
            self._waiting[:1] = [(batch, sizes[go:])] if sizes[go:] else []

    def _paused(self) -> Nanoseconds:
        """How long its process still stands still."""
        now = int(self._env.now)
        return max((until - now for begins, until in self._pauses if begins <= now < until), default=0)

    def _arrived(self, message: Any) -> None:
        self.has = max(self.has, message[0] or 0)
        self._inbox.put(message)

    def _save(self, after: Event | None) -> Process:
        """after: the end of a save that it is in."""
        if after is not None:
            yield after
        while True:
            if not self._inbox.messages:
                yield self._inbox.sleep()
            yield self._env.timeout(self._paused())
            yield self._env.timeout(0)  # what arrives at this very instant rides too
            if not self.serves:
                return
            self.saving = self._env.event()
            messages = self._inbox.take_all()
            fdatasync = messages[0][1] + sum(write for _, _, write, _, _ in messages)
            for work in (fdatasync, *(work for _, _, _, files, _ in messages for work in files)):
                yield from self.disk.work(work)
                if paused := self._paused():  # the disk is done, but nobody knows
                    yield self._env.timeout(paused)
                    ended, took = self.disk.syncs.pop()
                    self.disk.syncs.append((ended + paused, took + paused))
            over, self.saving = self.saving, None
            if over.callbacks:  # somebody waits for it
                over.succeed()
            for batch, _, _, _, way_back in messages:
                self._back.send(batch, way_back)


class Log:
    """The leader's log: how many bytes went into segments, and which batches are committed."""

    def __init__(self, segment: Bytes, followers: int):
        self._segment = segment
        self.batches: list[list[Request]] = []
        self.saved = 0
        self.acked = [0] * followers
        self.index = 0
        self.written: Bytes = 0
        self.offset: Bytes = 584

    def frame(self, request: Request) -> Bytes:
        """Bytes of the next entry in the file."""
        self.index += 1
        return wal.entry_frame(request.data, self.index)

    def write(self, size: Bytes) -> None:
        self.written += size
        self.offset += size

    @property
    def full(self) -> bool:
        return self.offset >= self._segment

    def cut(self) -> None:
        """A new segment, which begins with its head."""
        self.offset = 0
        self.write(wal.SEGMENT_HEAD)

    @property
    def committed(self) -> int:
        """Number of batches that are saved here and by enough followers."""
        quorum = (1 + len(self.acked)) // 2 + 1
        if quorum == 1:
            return self.saved
        return min(self.saved, sorted(self.acked, reverse=True)[quorum - 2])


# ---- the store


@dataclass(eq=False)
class Version:
    """One stored revision of a key."""

    slot: int
    revision: int
    key: Hashable
    tombstone: bool
    created: int
    number: int
    """The how-manieth put of the key since it was created."""


class Store:
    """Every version of every key, in order, and the newest one of each: MVCC as its definition says."""

    def __init__(self, pages: Pages, keeps_tombstone_at_compaction: bool):
        self.pages, self._keeps_tombstone = pages, keeps_tombstone_at_compaction
        self.revision, self.compacted = 1, -1
        self.versions: list[Version] = []
        self.newest: dict[Hashable, Version] = {}
        self.keys_live = 0

    def state(self, key: Hashable) -> Version | None:
        version = self.newest.get(key)
        return None if version is None or version.tombstone else version

    def put(self, key: Hashable, key_bytes: Bytes, value_bytes: Bytes) -> None:
        old = self.state(key)
        self.revision += 1
        created, number = (self.revision, 1) if old is None else (old.created, old.number + 1)
        stored = leaf.key_value(key_bytes, value_bytes, created, self.revision, number)
        self._store(key, leaf.element(stored), False, created, number)
        self.keys_live += old is None

    def delete(self, key: Hashable, key_bytes: Bytes) -> None:
        self.revision += 1
        self._store(key, leaf.tombstone(key_bytes), True, 0, 0)
        self.keys_live -= 1

    def _store(self, key: Hashable, element: Bytes, tombstone: bool, created: int, number: int) -> None:
        version = Version(self.pages.append(element), self.revision, key, tombstone, created, number)
        self.versions.append(version)
        self.newest[key] = version

    def kept_by_compaction(self, revision: int) -> set[int]:
        """Slots that a compaction to `revision` keeps: of each key the newest version up to there, if it was alive then."""
        newest: dict[Hashable, Version] = {}
        for version in self.versions:
            if version.revision > revision:
                break
            newest[version.key] = version
        at_revision = revision if self._keeps_tombstone else None
        return {version.slot for version in newest.values() if not version.tombstone or version.revision == at_revision}

    def walk(self, after: int, revision: int, batch: int) -> list[Version]:
        """The next `batch` retained versions behind slot `after`, up to `revision`."""
        found = (version for version in self.versions if version.slot > after and version.revision <= revision)
        return [version for version, _ in zip(found, range(batch), strict=False)]

    def remove(self, slots: set[int]) -> None:
        self.versions = [version for version in self.versions if version.slot not in slots]
        self.pages.free(np.array(sorted(slots), dtype=np.int64))


# ---- one etcd


class Etcd:
    """A cluster whose first member leads, and its clients; run it with `env.run(until=...)` and read the lists.

    requests: all that arrived. entries: (done, latency, execution, effect) of each applied entry. commits: (end, duration).
    database: (time, bytes in total, in use) as each commit left them. removed: (time, revisions) of compaction batches; turns,
    compactions and lists: (end, duration). client_latencies: as the clients of the scenario see it.
    """

    def __init__(self, scenario: Scenario, seed: int):
        self.env = env = Environment(0)
        self.scenario, self._streams = scenario, Streams(seed)
        self._etcd, self._costs = scenario.etcd, scenario.etcd.costs
        leading, *following = self._etcd.members
        release = self._etcd.release
        # Such a member handed a batch over before it had saved it.
        self._applies_beside = not following and (release < (3, 4, 21) or (3, 5, 0) <= release < (3, 5, 5))
        self._grows_in_steps = release >= (3, 5, 8) or (3, 4, 24) <= release < (3, 5, 0)
        self._pauses_by_ticks = (3, 5, 16) <= release <= (3, 5, 18)
        self._commits_on_delete = release >= (3, 6, 0) or (3, 5, 12) <= release < (3, 6, 0) or (3, 4, 30) <= release < (3, 5, 0)
        keeps_tombstone = release >= (3, 5, 16) or (3, 4, 34) <= release < (3, 5, 0)

        self.requests: list[Request] = []
        self.entries: list[tuple[Nanoseconds, Nanoseconds, Nanoseconds, str]] = []
        self.commits: list[tuple[Nanoseconds, Nanoseconds]] = []
        self.database: list[tuple[Nanoseconds, Bytes, Bytes]] = []
        self.removed: list[tuple[Nanoseconds, int]] = []
        self.turns: list[tuple[Nanoseconds, Nanoseconds]] = []
        self.compactions: list[tuple[Nanoseconds, Nanoseconds]] = []
        self.lists: list[tuple[Nanoseconds, Nanoseconds]] = []
        self.client_latencies: list[Nanoseconds] = []
        self.batches = 0
        self.no_space = False

        self._file = self._disk(leading, "backend")
        shared = device(scenario, leading, "wal").name == device(scenario, leading, "backend").name
        self.wal = self._disk(leading, "wal", behind=self._file if shared else None)
        self._inbox = Mailbox(env)
        self.log = Log(self._etcd.segment_size, len(following))
        self.followers = {name: self._follower(leading, name, number) for number, name in enumerate(following)}

        self.store = Store(Pages(small_follows_fill=release >= (3, 6, 0)), keeps_tombstone)
        self._apply_cost = self._delays(self._costs.apply, f"etcd.{leading}.apply")
        self._to_apply = Mailbox(env)
        self._lock = Resource(env)
        self._running_lists: list[Event] = []
        self._walks: list[Event] = []  # of lists, over the index, which they share
        self._walk_begins: Event | None = None  # where a compaction walks it
        self._exclusive: Event | None = None  # somebody wants store.mu, or has it
        self._committing: Event | None = None
        self._compactions_due = Mailbox(env)
        self._pending = self._handed = self._applied = 0
        self._preload()
        self._packing = False  # whether the last batch has not left yet
        self._surfaced = 0  # batches that the leader knows to be committed
        self._at_work = [
            env.process(process()) for process in (self._ready_loop, self._applier, self._commit_timer, self._compactor)
        ]
        for name, group in scenario.clients.items():
            think = self._delays(group.think, f"clients.{name}.think")
            for number in range(group.clients):
                env.process(self._client(f"{name}-{number}", think, group.key_bytes, group.value_bytes, group.rtt // 2))

    # ---- what it is made of

    def _delays(self, law: laws.Distribution, name: str) -> Draw:
        return Delays(self._streams(name), _table(law)).draw

    def _disk(self, name: str, file: Literal["wal", "backend"], behind: Disk | None = None) -> Disk:
        profile = device(self.scenario, name, file).profile
        law = profile.fdatasync if file == "wal" or profile.backend_fdatasync is None else profile.backend_fdatasync
        stalls = self._spells("disk_stall", lambda fault: fault.hits(name, file))
        return Disk(self.env, self._delays(law, f"etcd.{name}.{file}"), profile.bandwidth, stalls, behind)

    def _follower(self, leading: str, name: str, number: int, known: Follower | None = None) -> Follower:
        """known: the same member under an earlier leader."""
        network, log = self._etcd.network, self.log

        def way(link: str) -> Draw:
            if not network.jitter:
                return lambda: network.rtt // 2
            return Delays(self._streams(f"etcd.link.{link}"), network.rtt // 2 + distributions.exponential(network.jitter / 2)).draw

        def acknowledged(batch: int) -> None:
            log.acked[number] = batch
            self._inbox.ring()

        there, back = way(f"{leading}-{name}"), way(f"{name}-{leading}")
        bandwidth = device(self.scenario, name, "wal").profile.bandwidth
        segment = self._etcd.segment_size
        cuts = self._spells("partition", lambda fault: fault.link == f"{leading}-{name}")
        pauses = self._spells("pause", lambda fault: fault.target == f"members.{name}")
        disk, after = (self._disk(name, "wal"), None) if known is None else (known.disk, known.saving)
        return Follower(self.env, disk, there, back, bandwidth, segment, acknowledged, cuts, pauses, after)

    def _spells(self, kind: str, concerns: Callable[[Fault], bool]) -> list[tuple[Nanoseconds, Nanoseconds]]:
        faults = [fault for fault in self.scenario.faults.values() if fault.kind == kind and concerns(fault)]
        return [(fault.at or 0, (fault.at or 0) + fault.for_) for fault in faults]

    def _preload(self) -> None:
        """Objects that exist before the start, a commit per thousand."""
        for name, count in self._etcd.preload.items():
            kind = self.scenario.objects[name]
            for number in range(count):
                self.store.put(("preloaded", name, number), kind.key_bytes, kind.value_bytes)
                if number % 1000 == 999:
                    self.store.pages.commit()
        self.store.pages.commit()
        self.store.pages.commit()
        self._length = self.store.pages.bytes_total
        self._note_size()

    def _note_size(self) -> None:
        pages = self.store.pages
        self.database.append((int(self.env.now), pages.bytes_total, pages.bytes_in_use))

    # ---- clients

    def _client(self, name: str, think: Draw, key_bytes: Bytes, value_bytes: Bytes, way: Nanoseconds) -> Process:
        """Think, put a key that never existed, take the answer."""
        env, number = self.env, 0
        goroutine = self._costs.request + value_bytes * self._costs.request_per_kib // 1024
        while True:
            yield env.timeout(think())
            sent = env.now
            number += 1
            yield from self.ask(Request(env, "put_new", (name, number), key_bytes, value_bytes), way + goroutine, way)
            self.client_latencies.append(int(env.now - sent))

    def ask(self, request: Request, there: Nanoseconds, back: Nanoseconds) -> Process:
        """Send a request; it is answered when this ends."""
        yield self.env.timeout(there)
        self._arrive(request)
        yield request.answer
        yield self.env.timeout(back)

    def list_keys(self, keys: int) -> Process:
        """Read `keys` keys, with store.mu shared: behind who waits for it or has it exclusively, and not during a commit."""
        began, ended = self.env.now, self.env.event()
        while self._exclusive is not None:
            yield self._exclusive
        self._running_lists.append(ended)
        while self._committing is not None:
            yield self._committing
        walk = self.env.event()
        self._walks.append(walk)
        if self._walk_begins is not None and not self._walk_begins.triggered:
            self._walk_begins.succeed()
        yield self.env.timeout(keys * self._costs.index_key)
        self._walks.remove(walk)
        walk.succeed()
        yield self.env.timeout(keys * self._costs.read_key)
        self._running_lists.remove(ended)
        ended.succeed()
        self.lists.append((int(self.env.now), int(self.env.now - began)))

    # ---- the gRPC server: refusals and the timeout

    def _arrive(self, request: Request) -> None:
        request.arrives = int(self.env.now)
        self.requests.append(request)
        if request.grows and self._over_quota(request):
            self.env.process(self._raise_alarm(request))
        elif self._handed - self._applied > self._etcd.max_gap:
            request.tell("TOO_MANY_REQUESTS")
        else:
            self.env.process(self._deadline(request))
            self._inbox.put(request)

    def _over_quota(self, request: Request) -> bool:
        """The file, as the last commit left it, and the request against the quota."""
        quota = self._etcd.quota
        return quota is not None and self.database[-1][1] + PUT_OVERHEAD + request.key_bytes + request.value_bytes >= quota

    def _raise_alarm(self, refused: Request) -> Process:
        """What is over the quota is answered when the alarm's own entry is applied; it is not proposed where too many wait."""
        if self._handed - self._applied <= self._etcd.max_gap:
            alarm = Request(self.env, "alarm")
            alarm.arrives = refused.arrives
            self.env.process(self._deadline(alarm))
            self._inbox.put(alarm)
            yield alarm.answer
        refused.tell("NO_SPACE")

    def _deadline(self, request: Request) -> Process:
        yield self.env.timeout(self._etcd.request_timeout)
        request.tell("TIMEOUT")

    # ---- the Ready loop

    def _ready_loop(self) -> Process:
        """Hand over what is committed, send, save; what arrives during the save is the next batch."""
        env, log, costs, surfaced_before = self.env, self.log, self._costs, 0
        waiting: list[Request] = []  # committed, and too much for the turns so far
        while True:
            while not self._inbox.messages and not waiting and log.committed == surfaced_before:
                yield self._inbox.sleep()
            surfaced = log.committed
            if not self._applies_beside:
                waiting += chain(*log.batches[surfaced_before:surfaced])
                so_far = accumulate(wal.entry(request.data, log.index) for request in waiting)
                portion = max(1, sum(size <= PORTION for size in so_far))
                self._hand_over(waiting[:portion])
                waiting = waiting[portion:]
            if surfaced > surfaced_before and not self._applies_beside:
                log.write(wal.HARD_STATE_FRAME)  # in the page buffer until the next sync
            self._surfaced = surfaced
            hard_state_only = not self._inbox.messages
            surfaced_before = surfaced
            if hard_state_only:
                if self._applies_beside:
                    continue
                yield env.timeout(costs.ready)
                continue
            batch = self._inbox.take_all()
            log.batches.append(batch)
            self.batches += 1
            size = sum(log.frame(request) for request in batch)
            log.write(size + wal.HARD_STATE_FRAME if self._applies_beside else size)
            full = log.full
            if full:
                log.cut()
            self._packing = True
            yield env.timeout(costs.ready + costs.entry * len(batch))
            self._packing = False
            if self._applies_beside:
                self._hand_over(batch)
            for follower in self.followers.values():  # before our own save
                follower.send(len(log.batches), size, len(batch))
            yield from self.wal.sync(size)
            if full:
                for _ in ("new file", "directory"):
                    yield from self.wal.sync(0)
            if self.followers:
                yield env.timeout(0)  # an acknowledgement of this very instant counts
            log.saved += 1

    def _hand_over(self, batch: list[Request]) -> None:
        for request in batch:
            request.handed = int(self.env.now)
            self._handed += 1
            self._to_apply.put(request)

    # ---- who takes the batch lock

    def _applier(self) -> Process:
        """Committed entries one by one, in order; every so many a snapshot, whose commit delays no answer but the next ones."""
        env = self.env
        while True:
            request: Request = yield from self._to_apply.next()
            reached = env.now
            if request.op == "compact":
                self._exclusive = env.event()  # store.mu
                yield env.all_of(self._running_lists)
            with self._lock.request() as turn:
                yield turn
                if request.op != "compact":
                    yield env.all_of(self._walks)  # who comes later waits for it; simplified: for no time
                    if self._walk_begins is not None:  # it takes turns with a compaction
                        yield env.timeout(self._costs.index_turn)
                yield env.timeout(self._apply_cost() + request.value_bytes * self._costs.apply_per_kib // 1024)
                request.effect = self._apply(request)
                if request.op == "compact" and request.effect == "UNCHANGED":  # a compaction on its way is made durable at once
                    yield from self._commit()
                    self._compactions_due.put(request.expected)
                elif self._pending >= self._etcd.batch_limit:
                    yield from self._commit()
            if request.op == "compact":
                self._exclusive, done = None, self._exclusive
                done.succeed()
            self._applied += 1
            self.entries.append((int(env.now), int(env.now - request.handed), int(env.now - reached), request.effect))
            request.tell(request.effect)
            if self._applied % self._etcd.entries_per_snapshot == 0:
                yield env.all_of(self._running_lists)
                with self._lock.request() as turn:
                    yield turn
                    yield from self._commit()

    def _apply(self, request: Request) -> str:
        """What an entry does to the store, in the words of its answer."""
        store = self.store
        if request.op == "compact":
            if not store.compacted < request.expected <= store.revision:
                return "COMPACTED"
            store.compacted = request.expected
            self._pending += 1  # scheduledCompact
            return "UNCHANGED"
        if request.op == "alarm":
            self._pending += not self.no_space
            self.no_space = True
            return "UNCHANGED"
        if self.no_space and request.grows:
            return "NO_SPACE"
        old = store.state(request.key)
        if request.op in ("update", "delete") and (0 if old is None else old.revision) != request.expected:
            request.revision = 0 if old is None else old.revision
            return "CONFLICT"
        if request.op == "delete":
            if old is None:
                return "CONFLICT"
            store.delete(request.key, request.key_bytes)
        else:
            store.put(request.key, request.key_bytes, request.value_bytes)
        self._pending += 1
        request.revision = store.revision
        if request.op == "delete":
            return "DELETED"
        return "CREATED" if old is None else "UPDATED"

    def _commit_timer(self) -> Process:
        """Sleeps after its last turn; commits if anything is pending, the entry included that was being applied when it asked."""
        while True:
            yield self.env.timeout(self._etcd.batch_interval)
            with self._lock.request() as turn:
                yield turn
                if self._pending:
                    yield from self._commit()

    def _commit(self) -> Process:
        """Write the dirty pages and make them durable, then the meta page. Who calls holds the lock."""
        began = self.env.now
        self._committing = done = self.env.event()
        pages = self.store.pages.commit()
        yield self.env.timeout(pages * self._costs.page_write)
        if self.store.pages.bytes_total > self._length:
            self._length = self.store.pages.bytes_total + (16 * 2**20 if self._grows_in_steps else 0)
            if self._grows_in_steps:
                yield from self._file.sync(0)
        yield from self._file.sync(pages * PAGE)
        yield from self._file.sync(PAGE)
        self._pending = 0
        self._committing = None
        done.succeed()
        self.commits.append((int(self.env.now), int(self.env.now - began)))
        self._note_size()

    def _compactor(self) -> Process:
        """One compaction after the other: walk the index, then all revisions batch by batch, with a pause after each."""
        env, costs, compaction = self.env, self._costs, self._etcd.compaction
        while True:
            revision = yield from self._compactions_due.next()
            kept = self.store.kept_by_compaction(revision)
            yield from self._walk_index(self.store.keys_live * costs.index_walk)
            began, position, walked = env.now, -1, compaction.batch
            while walked == compaction.batch:
                asked = env.now
                with self._lock.request() as turn:
                    yield turn
                    versions = self.store.walk(position, revision, compaction.batch)
                    walked = len(versions)
                    removed = {version.slot for version in versions} - kept
                    yield env.timeout(walked * costs.scan + len(removed) * costs.delete)
                    position = versions[-1].slot if versions else position
                    self.store.remove(removed)
                    self._pending += len(removed)
                    if walked < compaction.batch:
                        self._pending += 1  # finishedCompact
                    if (removed and self._commits_on_delete) or self._pending >= self._etcd.batch_limit:
                        yield from self._commit()
                    if removed:
                        self.removed.append((int(env.now), len(removed)))
                if walked == compaction.batch:
                    with self._lock.request() as turn:
                        yield turn
                        if self._pending or self._commits_on_delete:
                            yield from self._commit()
                    self.turns.append((int(env.now), int(env.now - asked)))
                    batch_took = env.now - asked if self._pauses_by_ticks else 0
                    yield env.timeout(max(0, compaction.pause - batch_took))
            self.compactions.append((int(env.now), int(env.now - began)))

    def _walk_index(self, left: Nanoseconds) -> Process:
        """A compaction's walk, which stands still while lists walk."""
        env = self.env
        while left:
            while self._walks:
                yield self._walks[0]
            self._walk_begins, began = env.event(), env.now
            yield env.any_of([env.timeout(left), self._walk_begins])
            left -= env.now - began
        self._walk_begins = None


def _table(law: laws.Distribution) -> distributions.Table:
    match law:
        case laws.Constant():
            return distributions.constant(law.constant)
        case laws.Lognormal():
            return distributions.lognormal(law.median, law.p99)
        case laws.Gamma():
            return distributions.gamma(law.mean, law.sd)
        case laws.Empirical():
            return distributions.empirical(law.quantiles)
        case laws.Mixture():
            return distributions.mixture([(part.weight, _table(part.of)) for part in law.mixture])
