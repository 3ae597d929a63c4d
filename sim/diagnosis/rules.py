"""The rules: each looks at one station and says whether it held others up, with the figures that say so.

They are tried from the innermost station outwards (full database, disk, log, lists, compaction, applier; webhook; failing and
self-made work; seats, client limiter, watch, workers): what is slow inside makes everything outside it wait, so the first that
applies is the bottleneck and the others are what follows from it. Where a bound is published, it is that one; the others are
assumptions of this page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from sim.diagnosis.load import Load

FSYNC_P99: Final = 0.010
"""etcd docs, op-guide/hardware and faq: p99 of wal_fsync_duration_seconds under 10 ms."""
COMMIT_P99: Final = 0.025
"""The same pages: p99 of backend_commit_duration_seconds under 25 ms."""
APPLY: Final = 0.100
"""etcd warns of an apply that takes longer (server/etcdserver/util.go, warnApplyDuration)."""
BUSY: Final = 0.75
"""Share of the time from which on a single server makes others wait for long (M/M/1: four times its service)."""
WAIT: Final = 1.0
"""Seconds that nobody should wait for a watch event, a worker or a limiter."""


Station = Literal[
    "database", "disk", "log", "lists", "rounds", "compaction", "applier", "webhook", "errors", "hot loop", "seats",
    "client limiter", "watch", "workers",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """A station that held others up. evidence: figures by name; knob: what moves it; writer: who causes it, empty: nobody in
    particular."""

    station: Station
    says: str
    writer: str
    knob: str
    evidence: dict[str, float]


Rule = Callable[[Load], Finding | None]


def _seen(load: Load, *names: str, **more: float) -> dict[str, float]:
    return {**{name: load.figure(name) for name in names}, **more}


def full(load: Load) -> Finding | None:
    """The database has reached its quota: writes are refused."""
    if load.run.status.get("etcd.seconds_to_quota") != "reached":
        return None
    writer, share = load.most("keys_live")
    evidence = _seen(load, "etcd.seconds_to_quota", "etcd.requests_refused", "etcd.db_bytes_total", share_of_live_keys=share)
    return Finding(
        "database", "the database is full: etcd refuses whatever makes it grow", writer,
        "fewer or shorter-lived objects; etcd.quota, etcd.compaction; then compact, defrag and disarm", evidence,
    )  # fmt: skip


def disk(load: Load) -> Finding | None:
    """fsyncs are slow in themselves: slow as well where a batch holds next to nothing."""
    if load.figure("etcd.wal_fsync_seconds.p50") < FSYNC_P99 and load.figure("etcd.backend_commit_seconds.p50") < 4 * COMMIT_P99:
        return None
    writer, _ = load.most("wal_bytes_written")
    evidence = _seen(
        load, "etcd.wal_fsync_seconds.p50", "etcd.wal_fsync_seconds.p99", "etcd.backend_commit_seconds.p50",
        "etcd.commit_seconds.p99", log_busy=load.number("etcd.wal_fsync_seconds"),
    )  # fmt: skip
    says = "the disk is slow: every fsync takes longer than etcd can do with"
    return Finding("disk", says, writer, "etcd.members.*.disk", evidence)


def log(load: Load) -> Finding | None:
    """The log is written without a pause."""
    busy = load.number("etcd.wal_fsync_seconds")
    if busy < BUSY or load.figure("etcd.commit_seconds.p99") < APPLY:
        return None
    writer, share = load.most("puts")
    evidence = _seen(load, "etcd.wal_fsync_seconds.p99", "etcd.commit_seconds.p99", "etcd.writes_per_batch", log_busy=busy,
                     share_of_puts=share)  # fmt: skip
    return Finding("log", "the log is written without a pause: writes wait for the save before theirs", writer,
                   "fewer writes; guards (write_limiter); etcd.members.*.disk", evidence)  # fmt: skip


def lists(load: Load) -> Finding | None:
    """Lists of everything hold up who needs the store for itself."""
    longest, busy = load.figure("etcd.list_seconds.max"), load.number("etcd.list_seconds")
    if longest < 5 * APPLY and busy < BUSY:
        return None
    evidence = _seen(load, "etcd.list_seconds.max", "etcd.list_seconds.count", "etcd.apply_seconds.max", lists_running=busy)
    return Finding("lists", "lists of very many keys keep etcd busy and hold up compactions and snapshots", "",
                   "pages and fewer lists: workloads.*.every, informers instead; fewer objects", evidence)  # fmt: skip


def rounds(load: Load) -> Finding | None:
    """etcd reads history for watchers that are behind, under the lock that every write needs."""
    share = load.figure("etcd.watch_locked_share")
    if share < 0.1 or load.figure("etcd.apply_seconds.p99") < APPLY:
        return None
    evidence = _seen(load, "etcd.watch_locked_share", "etcd.watch_round_seconds.max", "etcd.slow_watchers.max",
                     "etcd.apply_seconds.p99")  # fmt: skip
    return Finding("rounds", "watchers at etcd are far behind: each round that reads for them holds the lock that writes need", "",
                   "watchers that begin nearer to the newest revision, or read faster: workloads.*.behind, .takes, .stall",
                   evidence)  # fmt: skip


def compaction(load: Load) -> Finding | None:
    """Compactions hold the lock while they walk all keys."""
    share, busy = load.figure("etcd.apply_tail_share.compaction"), load.number("etcd.compaction_seconds")
    slow = load.figure("etcd.apply_seconds.p99") > 5 * max(load.figure("etcd.apply_seconds.p50"), 1e-6)
    if share < 0.5 or busy < 0.02 or not slow:
        return None
    writer, part = load.most("keys_live")
    evidence = _seen(load, "etcd.apply_tail_share.compaction", "etcd.compaction_seconds.max", "etcd.keys_live",
                     "etcd.apply_seconds.p99", share_of_live_keys=part, compacting=busy)  # fmt: skip
    return Finding("compaction", "compactions walk all live keys under the lock: the slowest applies wait for them", writer,
                   "fewer live keys; etcd.compaction.batch, etcd.compaction.pause", evidence)  # fmt: skip


def applier(load: Load) -> Finding | None:
    """Entries queue for the one goroutine that applies them."""
    busy, refused = load.number("etcd.apply_execution_seconds"), load.figure("etcd.requests_refused")
    behind = load.figure("etcd.apply_seconds.p99") > APPLY
    if not (busy > BUSY and behind) and not (refused and behind):
        return None
    writer, share = load.most("puts")
    evidence = _seen(load, "etcd.apply_seconds.p99", "etcd.requests_refused", "etcd.apply_tail_share.entries", applier_busy=busy,
                     share_of_puts=share)  # fmt: skip
    return Finding("applier", "entries queue for the goroutine that applies them; 5,000 behind, etcd refuses", writer,
                   "fewer writes of it; guards (write_limiter)", evidence)  # fmt: skip


def webhook(load: Load) -> Finding | None:
    """Admission takes most of a request's time."""
    share = load.share("apiserver.admission_seconds", "apiserver.request_seconds")
    if share < 0.5 or load.figure("apiserver.admission_seconds.p99") < APPLY:
        return None
    writer, _ = load.busiest("requests")
    evidence = _seen(load, "apiserver.admission_seconds.p50", "apiserver.admission_seconds.p99", "apiserver.request_seconds.p99",
                     share_of_request_time=share)  # fmt: skip
    return Finding("webhook", "admission takes most of what a write takes", writer or load.most("puts")[0],
                   "webhooks.*.latency, webhooks.*.match, webhooks.*.timeout", evidence)  # fmt: skip


def errors(load: Load) -> Finding | None:
    """Most reconciles fail, and come again; those that only had an old copy (409) are not meant: something made it old."""
    failed = load.figure("controller.errors") - load.figure("writes.conflicts")
    share = failed / max(1.0, load.figure("controller.reconciles"))
    if share < 0.5 or failed < 10:
        return None
    writer, _ = load.busiest("errors")
    evidence = _seen(load, "controller.errors", "controller.reconciles", "workqueue.retries", "apiserver.rejected",
                     share_of_reconciles=share)  # fmt: skip
    return Finding("errors", "most reconciles fail and are tried again", writer,
                   "what they fail at; controllers.*.queue.limiter, controllers.*.max_retries", evidence)  # fmt: skip


def hot_loop(load: Load) -> Finding | None:
    """Nearly every reconcile writes, every write wakes a reconcile: a controller works for itself."""
    writer, _ = load.busiest("reconciles")
    own = load.run.writers.get(writer, {}).get("puts", 0.0)
    if not writer:
        return None
    others = sum(row.get("puts", 0.0) for name, row in load.run.writers.items() if name not in (writer, *_ALWAYS))
    reconciles = load.figure(f"controllers.{writer}.reconciles")
    if own < 0.5 * reconciles or own < 5 * others or own < load.horizon:
        return None
    evidence = {f"controllers.{writer}.reconciles": reconciles, f"writers.{writer}.puts": own, "puts_of_others": others,
                "writes_per_reconcile": own / reconciles}  # fmt: skip
    says = "a controller is woken by its own writes: it writes at nearly every reconcile, and hardly anybody else does"
    return Finding("hot loop", says, writer,
                   "controllers.*.watches.*.predicate; write only what changes", evidence)  # fmt: skip


_ALWAYS: Final = ("node-heartbeats", "leader-elections", "kube-apiserver", "etcd", "preloaded")


def seats(load: Load) -> Finding | None:
    """Requests wait for a seat of their priority level, or are turned away."""
    waiting, throttled = load.number("apiserver.seat_wait_seconds"), load.figure("apiserver.throttled")
    if waiting < 1 and throttled < 1:
        return None
    writer, _ = load.most("puts")
    evidence = _seen(load, "apiserver.seat_wait_seconds.p99", "apiserver.seat_wait_seconds.count", "apiserver.throttled",
                     requests_waiting=waiting)  # fmt: skip
    knob = "apiservers.*.in_flight, apiservers.*.flow_control (shares, queues), apiservers.*.count; fewer clients"
    return Finding("seats", "requests wait for seats of their priority level, or are turned away", writer, knob, evidence)


def limiter(load: Load) -> Finding | None:
    """Controllers wait for their own clients' limiters."""
    share = load.share("rest_client.rate_limiter_seconds", "workqueue.work_seconds")
    if load.figure("rest_client.rate_limiter_seconds.p50") < WAIT / 10 and share < 0.5:
        return None
    if load.number("rest_client.rate_limiter_seconds") < 0.1:
        return None
    writer, _ = load.busiest("requests")
    evidence = _seen(load, "rest_client.rate_limiter_seconds.p50", "rest_client.rate_limiter_seconds.p99", "rest_client.requests",
                     share_of_work=share)  # fmt: skip
    return Finding("client limiter", "requests wait in their client for its own limiter", writer,
                   "controllers.*.client.qps and burst", evidence)  # fmt: skip


def watch(load: Load) -> Finding | None:
    """Changes come late to informers."""
    if load.figure("watch.lag_seconds.p50") < WAIT / 2 and load.figure("watch.lag_seconds.p99") < 2 * WAIT:
        return None
    evidence = _seen(load, "watch.lag_seconds.p50", "watch.lag_seconds.p99", "watch.events_sent", "watch.closed", "watch.relists")
    return Finding("watch", "changes come late: informers see the world of a while ago", "",
                   "apiservers.*.watch_lag, handlers' time, fewer watchers and events", evidence)  # fmt: skip


def workers(load: Load) -> Finding | None:
    """All workers are busy while keys wait."""
    most = load.figure("controller.workers_busy.max")
    busy = load.number("workqueue.work_seconds") / most if most else 0.0
    if busy < BUSY or load.figure("workqueue.queue_seconds.p50") < max(WAIT / 2, load.figure("workqueue.work_seconds.p50")):
        return None
    writer, _ = load.busiest("reconciles")
    evidence = _seen(load, "workqueue.queue_seconds.p50", "workqueue.work_seconds.p50", "workqueue.depth.max",
                     "controller.workers_busy.max", workers_busy=busy)  # fmt: skip
    knob = "controllers.*.workers; a shorter reconcile"
    return Finding("workers", "all workers are busy and keys wait for one", writer, knob, evidence)


RULES: Final[tuple[Rule, ...]] = (
    full, disk, log, lists, rounds, compaction, applier, webhook, errors, hot_loop, seats, limiter, watch, workers,
)  # fmt: skip
