"""The etcd cluster: members and their disks, the network between them, what bounds it, and what its work costs.

Each default names the place in etcd's own source, or the measurement, it is from. "measured" means: etcd 3.5.1, one
member, one virtual machine with two cores and a virtual disk; an anchor for orders of magnitude, not a reference machine.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema, field_serializer, field_validator, model_validator

from sim.scenario.device import DeviceProfile, Disk, load_profile
from sim.scenario.distribution import Distribution, distribution
from sim.scenario.links import Link, Network
from sim.scenario.quantities import (
    Count,
    Duration,
    Fraction,
    Name,
    PositiveCount,
    PositiveDuration,
    Size,
    SizeOrOff,
    read_count,
    read_duration,
)
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required
from sim.units import MICROSECOND, MILLISECOND, MINUTE, SECOND, format_duration

KNOWN_MINORS: Final = (4, 5, 6, 7)
_LONGEST_ELECTION: Final = 50 * SECOND
"""etcd: embed/config.go maxElectionMs."""
_VERSION: Final = re.compile(r"3\.([0-9]+)\.([0-9]+)")


def _version(value: Any) -> Any:
    match = _VERSION.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) not in KNOWN_MINORS:
        raise refused(f'{shown(value)} is not a known etcd version; 3.4.x to 3.7.x, such as "3.5.33"')
    return value


Version = Annotated[
    str,
    BeforeValidator(_version),
    WithJsonSchema({"type": "string", "pattern": r"^3\.[4-7]\.[0-9]+$", "examples": ["3.5.33", "3.6.14"]}),
]


class Member(Section):
    """One etcd member, on a machine of its own where it names none."""

    machine: Name | None = field(None, "The machine it runs on, by its name in `machines`; when absent, one of its own.")
    disk: Disk = field(
        "cloud-ssd",
        "Device profile of the member's own disk: a name, a path to a YAML file, or the profile itself; not used where its machine "
        "has disks.",
    )
    wal: Name | None = field(None, "The disk of its machine that its log is on; when absent, the first.")
    backend: Name | None = field(None, "The disk of its machine that its database is on; when absent, the first.")
    zone: Name | None = field(None, "Where it is, for links between zones.")
    memory: Size | None = field(None, "Memory that its machine gives it; enough for everything when absent.")
    learner: bool = field(False, "It receives the log, but has no vote.")

    @model_validator(mode="after")
    def _placed(self) -> Member:
        if self.machine is None:
            for key in ("wal", "backend"):
                if getattr(self, key) is not None:
                    raise refused("names a disk of a machine; write machine, too", at=key)
        return self

    @property
    def profile(self) -> DeviceProfile:
        """The disk of a member with a machine of its own, whichever way it was given."""
        return load_profile(self.disk)

    def disk_of(self, file: Literal["wal", "backend"]) -> str | None:
        """The disk of its machine that a file is on; None: the first."""
        return self.wal if file == "wal" else self.backend


class Flags(Section):
    """Flags of etcd that decide about timing and files, under their own names."""

    heartbeat_interval: PositiveDuration = field(
        100 * MILLISECOND, "The tick of raft, and how often the leader sends heartbeats.", "etcd: embed/config.go NewConfig",
        alias="heartbeat-interval",
    )  # fmt: skip
    election_timeout: PositiveDuration = field(
        1000 * MILLISECOND, "A follower that hears nothing of a leader stands for election after once to twice that.",
        "etcd: embed/config.go NewConfig", alias="election-timeout",
    )  # fmt: skip
    pre_vote: bool | None = field(
        None, "Whether a candidate first asks if it could win; when absent, by version: from 3.5 on.",
        "etcd: embed/config.go NewConfig", alias="pre-vote",
    )  # fmt: skip
    snapshot_count: PositiveCount | None = field(
        None, "Entries between two snapshots; when absent, as `etcd.snapshot_count`.", alias="snapshot-count"
    )

    snapshot_catchup_entries: PositiveCount = field(
        5000, "Entries that a snapshot leaves in memory: who lacks more gets the whole database.",
        "etcd: server.go DefaultSnapshotCatchUpEntries", alias="snapshot-catchup-entries",
    )  # fmt: skip
    max_wals: Count = field(
        5, "Files of the log that a purge leaves; 0: all.", "etcd: embed/config.go DefaultMaxWALs", alias="max-wals"
    )

    @model_validator(mode="after")
    def _together(self) -> Flags:
        if self.election_timeout > _LONGEST_ELECTION:
            raise refused(f'"{format_duration(self.election_timeout)}" is too long; write at most 50s', at="election-timeout")
        if self.election_timeout < 5 * self.heartbeat_interval:
            raise refused(
                f'"{format_duration(self.election_timeout)}" is too short; write at least 5 heartbeat intervals, '
                f"{format_duration(5 * self.heartbeat_interval)}",
                at="election-timeout",
            )
        return self


class Compaction(Section):
    """When old revisions are discarded, and how gently."""

    by: Literal["apiserver", "periodic", "revision", "never"] = field(
        "apiserver", "Who asks for it: the API server, or etcd's own auto-compaction by time or by count of revisions."
    )
    every: PositiveDuration = field(
        5 * MINUTE,
        "How often the API server compacts; also how often etcd's revision mode looks.",
        "apiserver: storagebackend/config.go DefaultCompactInterval; etcd: v3compactor/revision.go revInterval",
    )
    retention: int | None = field(
        None,
        "periodic: how much time to keep, a duration (stored as ns); revision: how many revisions, a number.",
    )
    batch: PositiveCount = field(1000, "Revisions per turn of the batch lock.", "etcd: mvcc/kvstore.go defaultCompactionBatchLimit")
    pause: Duration = field(
        10 * MILLISECOND,
        "Sleep between two batches.",
        "etcd: mvcc/kvstore.go minimumBatchInterval (the version decides how it sleeps)",
    )

    @field_validator("retention", mode="before")
    @classmethod
    def _retention(cls, value: Any, info: ValidationInfo) -> Any:
        match info.data.get("by"):
            case "periodic":
                kept = read_duration(value)
            case "revision":
                kept = read_count(value)
            case None:  # refused already
                return None
            case by:
                raise refused(f"{shown(value)} is not used with by: {by}; leave it out")
        if kept == 0:
            raise refused(f"{shown(value)} is not allowed; it must be above zero")
        return kept

    @model_validator(mode="after")
    def _complete(self) -> Compaction:
        if self.by in ("periodic", "revision") and self.retention is None:
            raise refused(f"missing; it is required with by: {self.by}", at="retention")
        return self

    @field_serializer("retention")
    def _write_retention(self, value: int | None) -> str | int | None:
        return format_duration(value) if value is not None and self.by == "periodic" else value


class Costs(Section):
    """CPU and lock time that etcd's work takes on the reference machine; the disk is not in them."""

    request: Duration = field(
        60 * MICROSECOND,
        "gRPC goroutine of one request, in parallel with others.",
        "assumed: this split of a measured 0.1 + 0.32 / batch ms of leader CPU per put of 1 KiB",
    )
    request_per_kib: Duration = field(
        3 * MICROSECOND, "Added to `request` for each KiB of value.", "assumed: within a measured 9 us of leader CPU per KiB"
    )
    txn: Duration = field(
        20 * MICROSECOND,
        "Added to `request` where it is a transaction, as the API server's writes are: its compares and branches.",
        "measured: 121 us of leader CPU per transaction of 1 KiB, 92 us per put, 10 us of the difference in apply",
    )
    ready: Duration = field(50 * MICROSECOND, "Serial cost of one turn of the Ready loop.", "assumed: as `request`")
    wake: Duration = field(
        0,
        "CPU that one turn of the Ready loop takes on other threads: whoever is woken, and looks for work before it sleeps again.",
        "none: a fit of `etcdsim validate` has it; some 0.1-0.3 ms on a machine of two cores",
    )
    follower: Fraction = field(
        0.0,
        "A turn of a follower's Ready loop, as a part of a leader's, where the two share a machine; above 0 its entries, applies "
        "and commits take their part of the cores, too.",
        "none: what followers take is in a fitted `request`; measured on a machine of two cores: 0.5",
    )
    handoff: Duration = field(
        0,
        "What an answer takes longer because the goroutines on a request's way have to be woken one after the other; no CPU.",
        "none: a fit of `etcdsim validate` has it; some 0.1 ms on a machine of two cores",
    )
    collect_after: Duration = field(
        0,
        "CPU between two garbage collections, on a member's machine; 0: none.",
        "none: a fit of `etcdsim validate` has it; some 0.1 s, four collections a second at 2,000 puts/s of 512 B",
    )
    collection: Duration = field(
        3 * MILLISECOND,
        "How long a garbage collection holds up what waits for a core.",
        "measured: 2 to 6 ms at 2,000 puts/s, whose p99 is 1.7 to 2.7 ms, and 1.2 ms with GOGC=off",
    )
    entry: Duration = field(8 * MICROSECOND, "Serial cost of one entry in the Ready loop.", "assumed: as `request`")
    apply: Distribution = field(
        distribution(median="25us", p99="120us"),
        "Apply of one entry, lock held, without waiting.",
        "assumed: within the 10-50 us a put takes",
    )
    apply_per_kib: Duration = field(5 * MICROSECOND, "Added to `apply` for each KiB of value.", "assumed")
    txn_apply: Duration = field(
        10 * MICROSECOND, "Added to `apply` where it is a transaction.", "measured: 27 us of apply per transaction, 17 us per put"
    )
    watch_event: Duration = field(2 * MICROSECOND, "For each matching watcher, inside apply.", "assumed")
    watch_scan: Duration = field(
        1_800,
        "For each revision read for watchers that are behind, lock held.",
        "measured: 1.75 to 2.2 us with `watch_match`, values of 400 B (tests/etcd/record_watchers.py)",
    )
    watch_match: Duration = field(100, "To look for the watchers of such a revision, and for each of them.", "assumed")
    watch_marshal: Duration = field(
        1 * MICROSECOND, "A stream's sender: for each event of a response after the first.", "assumed"
    )
    scan: Duration = field(
        800,
        "Compaction: for each revision walked, lock held.",
        "assumed: within a measured 1.3-2.6 ms per batch of 1,000",
    )
    delete: Duration = field(2 * MICROSECOND, "Compaction: for each revision deleted, lock held.", "assumed: as `scan`")
    index_walk: Duration = field(500, "Compaction: for each live key in the index walk.", "measured: 0.18 s for 350,000 keys")
    index_turn: Duration = field(
        80 * MICROSECOND,
        "What an apply waits for the index while a compaction walks it, on average.",
        "measured: etcd 3.5.1, 300,000 keys, 2 cores: 0.38 ms a put instead of 0.30; seconds of several ms were seen, too",
    )
    read_key: Duration = field(7 * MICROSECOND, "For each key a list returns.", "measured: 50,000 keys of 1 KiB in 0.35 s")
    index_key: Duration = field(300, "For each key a list walks in the index.", "measured: count of 50,000 keys in 15 ms")
    page_fault: Duration = field(
        667 * MICROSECOND,
        "Read of a page of the database that is not in memory.",
        "published: SD Application Performance Class 1, at least 1,500 random reads a second",
    )
    defrag: Duration = field(70 * MILLISECOND, "Defragmentation, whatever the size.", "measured: 95 ms with 1.4 MB of live data")
    defrag_mb: Duration = field(19 * MILLISECOND, "For each MB (10^6 B) of live data in it.", "measured: 94 MB live in 1.76 s")
    page_write: Duration = field(10 * MICROSECOND, "Backend commit: for each dirty page.", "assumed: some us per page")


class Etcd(Section):
    """The cluster: its version selects the behaviours that changed between releases."""

    version: Version = field("3.5.33", "Release: 3.4.x to 3.7.x.")
    members: dict[Name, Member] = required("The members by name; an even number of them is allowed, and warned about.")
    network: Network = field(Network(), "The links between members.")
    links: dict[Name, Link] = field(
        {}, "What is different on some links: default, two members (a-c) or two zones (z1-z2) to what."
    )
    flags: Flags = field(Flags(), "Flags of etcd that decide about timing and files.")
    quota: SizeOrOff = field(2 * 2**30, "Database size at which the cluster turns read-only for growth.", "etcd: storage/quota.go")
    compaction: Compaction = field(Compaction(), "When old revisions are discarded, and how gently.")
    preload: dict[Name, Count] = field({}, "Live keys that exist at the start: object name to how many.")
    batch_interval: PositiveDuration = field(
        100 * MILLISECOND, "Backend commit: this long after the previous one ended.", "etcd: storage/backend/backend.go"
    )
    batch_limit: PositiveCount = field(10_000, "Backend commit: after this many operations.", "etcd: storage/backend/backend.go")
    request_timeout: PositiveDuration = field(
        7 * SECOND,
        "A proposal that takes longer is answered with an error.",
        "etcd: config.go ReqTimeout: 5 s + 2 election timeouts",
    )
    max_gap: PositiveCount = field(
        5000,
        "Requests are refused when committed minus applied passes this.",
        "etcd: v3_server.go maxGapBetweenApplyAndCommitIndex",
    )
    snapshot_count: PositiveCount | None = field(
        None,
        "Entries between two snapshots; when absent, by version: 100,000, from 3.6 on 10,000.",
        "etcd: server.go DefaultSnapshotCount",
    )
    max_request: Size = field(
        1_572_864, "Largest request that etcd takes.", "etcd: embed/config.go DefaultMaxRequestBytes"
    )
    segment_size: Size = field(64_000_000, "Size at which a WAL segment is closed.", "etcd: storage/wal/wal.go SegmentSizeBytes")
    costs: Costs = field(Costs(), "CPU and lock time that etcd's work takes.")

    @field_validator("members")
    @classmethod
    def _some(cls, members: dict[str, Member]) -> dict[str, Member]:
        if not members:
            raise refused('"{}" is not allowed; at least one member is needed, such as {a: {disk: cloud-ssd}}')
        learners = [name for name, member in members.items() if member.learner]
        if len(learners) == len(members):
            raise refused("no member votes; at least one must not be a learner")
        if next(iter(members)) in learners:
            raise refused("the first member leads at the start; a learner cannot", at=next(iter(members)))
        return members

    @property
    def release(self) -> tuple[int, int, int]:
        """The version as numbers, to compare with: (3, 5, 33)."""
        major, minor, patch = (int(part) for part in self.version.split("."))
        return major, minor, patch

    @property
    def entries_per_snapshot(self) -> int:
        """`snapshot_count`, or what this version does by default."""
        return self.flags.snapshot_count or self.snapshot_count or (10_000 if self.release >= (3, 6, 0) else 100_000)

    def entries_in_memory(self, index: int) -> int:
        """How many of the newest entries the leader's log holds: what the last snapshot left, and what came since.

        From 3.6 on it makes room every 100 entries, whatever the snapshots.
        """
        return self.flags.snapshot_catchup_entries + index % (100 if self.release >= (3, 6, 0) else self.entries_per_snapshot)

    @property
    def pre_vote(self) -> bool:
        """`flags.pre-vote`, or what this version does by default."""
        return self.release >= (3, 5, 0) if self.flags.pre_vote is None else self.flags.pre_vote

    @property
    def voters(self) -> list[str]:
        """The members that vote, in order."""
        return [name for name, member in self.members.items() if not member.learner]
