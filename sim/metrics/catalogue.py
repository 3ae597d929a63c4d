"""Every figure that a run reports: unit, meaning, and the real Prometheus metric to compare it with.

A figure is named `part.what`. `etcd.*` is the member that leads at that moment; the same figures of one member,
controller or writer stand under `members.<name>.`, `controllers.<name>.` and `writers.<name>.`. A distribution is
reported by its suffixes (`.p50 .p90 .p99 .p999 .max .mean .count`); a gauge may have `.max` and `.mean`.

Where a real metric says something else than its name, our figure is the truth and the quirk stands beside it; where
both are reported, the real one's reading stands under its own Prometheus name and with its real type.
Sources: etcd `server/**/metrics.go`, client-go `util/workqueue/metrics.go`, component-base `metrics/prometheus`,
apiserver `pkg/endpoints/metrics`, controller-runtime `pkg/metrics` and `pkg/internal/controller/metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

Kind = Literal["counter", "gauge", "distribution"]
Group = Literal["keys", "WAL", "apply", "disk", "compaction", "database", "API", "controller", "guard", "run"]

SUFFIXES: Final[dict[Kind, tuple[str, ...]]] = {
    "distribution": ("p50", "p90", "p99", "p999", "max", "mean", "count"),
    "gauge": ("max", "mean"),
    "counter": (),
}


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A metric of a real component: its name, its real type, and what it does otherwise than its name says."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    quirk: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run. unit: seconds, bytes, share, 1/h, or the plural of what is counted."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    group: Group = "keys"
    prometheus: Prometheus | None = None


def _counter(name: str, unit: str, meaning: str) -> Figure:
    return Figure(name, "counter", unit, meaning)


def _gauge(name: str, unit: str, meaning: str) -> Figure:
    return Figure(name, "gauge", unit, meaning)


def _seconds(name: str, meaning: str) -> Figure:
    return Figure(name, "distribution", "seconds", meaning)


_FIGURES: Final[dict[Group, tuple[Figure, ...]]] = {
    "keys": (
        _counter("etcd.keys_created", "keys", "Keys that did not exist and were put."),
        _gauge("etcd.keys_created_per_hour", "1/h", "Keys created over the hours simulated: the mean rate."),
        _gauge("etcd.keys_live", "keys", "Keys that exist."),
        _counter("etcd.puts", "puts", "Puts applied, of new and of existing keys."),
        _counter("etcd.deletes", "keys", "Keys deleted; each leaves a tombstone."),
        _gauge("etcd.revision", "revisions", "Revision of the store."),
        _gauge("etcd.revisions_retained", "revisions", "Revisions in the backend: live, superseded and tombstones."),
        _gauge("fleet.keys_listed", "keys", "Live keys of a fleet, counted one by one in etcd's index at the end."),
        _counter("fleet.certificates", "certificates", "Certificates issued through the API."),
        _counter("fleet.measurements", "measurements", "Measurements that devices made."),
    ),
    "WAL": (
        _counter("etcd.wal_bytes_written", "bytes", "Bytes that reached the files of the write-ahead log."),
        _gauge("etcd.wal_bytes_on_disk", "bytes", "What its files take: preallocated, purged after snapshots."),
        _gauge("etcd_disk_wal_write_bytes_total", "bytes", "The reading of that metric on the leader."),
        _counter("etcd.wal_fsyncs", "fsyncs", "Batches made durable by one fdatasync each."),
        _gauge("etcd.writes_per_batch", "writes", "Entries that shared one fdatasync, on average."),
    ),
    "apply": (
        _seconds("etcd.apply_seconds", "From the hand-over of a committed entry to the end of its apply: queue, lock."),
        _seconds("etcd.apply_execution_seconds", "One entry in the applier: the lock included, the queue not."),
        _seconds("etcd.commit_seconds", "From the proposal to the hand-over to the applier."),
        _seconds("etcd.apply_lag_seconds", "How much later than the leader a member that clients ask has applied an entry."),
        _gauge("etcd.apply_tail_share.entries", "share", "Of the waits of requests above the p99: behind other entries."),
        _gauge("etcd.apply_tail_share.commits", "share", "Of the same waits: behind backend commits."),
        _gauge("etcd.apply_tail_share.compaction", "share", "Of the same waits: behind batches of compaction."),
    ),
    "disk": (
        _seconds("etcd.wal_fsync_seconds", "One fdatasync of the write-ahead log."),
        _seconds("etcd.backend_commit_seconds", "One commit of the backend: spill, write and two fdatasyncs."),
    ),
    "compaction": (
        _seconds("etcd.compaction_seconds", "One compaction of the backend, its pauses included."),
        _seconds("etcd.compaction_pause_seconds", "One batch of a compaction, with its wait for the lock."),
    ),
    "database": (
        _gauge("etcd.db_bytes_total", "bytes", "Size of the backend file; it never shrinks without defrag."),
        _gauge("etcd.db_bytes_in_use", "bytes", "The backend file without its free pages."),
        _gauge("etcd.memory_bytes", "bytes", "Heap of a member whose memory is declared: index, log in memory, what Go lets grow."),
        _gauge("etcd.database_missing_share", "share", "Part of the database file for which that memory has no room."),
        _gauge("etcd.seconds_to_quota", "seconds", "When the backend file passes the quota: reached, or extrapolated."),
    ),
    "API": (
        _counter("etcd.requests_refused", "requests", "Requests refused at once: NOSPACE, or too far behind with applying."),
        _counter("etcd.proposals_failed", "proposals", "Proposals without an answer in time; one may still be applied."),
        _counter("etcd.leader_changes", "changes", "Times that a member was elected; the same one again counts, too."),
        _gauge("etcd.leaderless_seconds", "seconds", "From what cost the lead to the next leader, of all changes together."),
        _seconds("etcd.request_seconds", "A request as etcd's client sees it: the API server, or a raw client."),
        _counter("etcd.leases_expired", "leases", "Leases that were revoked because their time was over."),
        _counter("etcd.leases_renewed", "leases", "Keepalives of leases."),
        _counter("etcd.reads", "reads", "Reads that etcd served: gets, how far it is, pages of lists."),
        _seconds("etcd.read_seconds", "Such a read at etcd, arrival to end: index, applies, commits, cores, the read."),
        _seconds("etcd.list_seconds", "A list of all keys of one kind, as the API server asks etcd for it."),
        _seconds("apiserver.request_seconds", "A request in the API server, admission and etcd included."),
        _seconds("apiserver.admission_seconds", "Admission of a write: its own time and that of the webhooks that it waited for."),
        _counter("apiserver.conflicts", "requests", "Updates refused because the object had changed (409)."),
        _counter("apiserver.rejected", "requests", "Requests that failed: refused by etcd or a webhook, or not answered."),
        _counter("apiserver.throttled", "requests", "Requests turned away by priority and fairness or in-flight limits (429)."),
        _seconds("apiserver.seat_wait_seconds", "The wait of a request for a seat of its priority level, where it had to wait."),
        _counter("apiserver.unchanged", "requests", "Writes that changed nothing: answered without a transaction."),
        _counter("apiserver.etcd_reads", "reads", "Single objects that the API server read from etcd: gets, stale copies."),
        _counter("watch.relists", "lists", "Lists by informers after their first: their watch was too old, or broken."),
        _counter("watch.expired", "watches", "Watches refused because their revision is older than the server's window (410)."),
        _counter("watch.closed", "watches", "Watches that ended: their time was over, a slow watcher, an outage."),
        _seconds("watch.lag_seconds", "From the apply of a change to its arrival in an informer."),
        _counter("watch.events_sent", "events", "Events sent to watching clients, once for each of them."),
        _gauge("etcd.watchers", "watchers", "Watchers of `watches` and of storms that are open at etcd."),
        _gauge("etcd.slow_watchers", "watchers", "Of these: those that are not synced, victims of a full channel included."),
        _counter("etcd.slow_watcher_seconds", "seconds", "Time that watchers were not synced, summed over them."),
        _gauge("etcd.watch_pending_events", "events", "Events in the channels of their streams."),
        _counter("etcd.watch_rounds", "rounds", "Rounds that read history for watchers that are not synced, under the lock."),
        _counter("etcd.watch_revisions_read", "revisions", "Revisions that these rounds read, again and again."),
        _gauge("etcd.watch_locked_share", "share", "Part of the time that these rounds held the lock: writes wait."),
        _gauge("etcd.watch_round_seconds", "seconds", "The longest of them."),
        _counter("watches.events", "events", "Events for watchers of a workload `watches`, once for each of them."),
        _counter("watches.full", "events", "Of these: those of single writes that found their stream's channel full."),
        _counter("watches.compacted", "watchers", "Watchers cancelled because what they wanted next was compacted."),
        _gauge("watches.behind", "revisions", "The most that one of them was behind in a round."),
        _gauge("watches.backlog", "events", "The most events that waited in the channel of a stream."),
        _gauge("watches.lag_seconds", "seconds", "From an apply until a client had read the event: the longest."),
        _gauge("watches.lag_mean_seconds", "seconds", "The same, on average of all events that arrived or will."),
    ),
    "controller": (
        _seconds("rest_client.request_seconds", "A request as a controller's clients see it, without their limiters."),
        _seconds("rest_client.rate_limiter_seconds", "The wait for the client's own limiter."),
        _counter("rest_client.requests", "requests", "Requests that controllers sent, elections and Events included."),
        _counter("rest_client.resent", "requests", "Of these: sent again by the client itself after a 429."),
        _counter("rest_client.timeouts", "requests", "Requests whose answer controllers' clients did not wait for."),
        _gauge("workqueue.depth", "items", "Keys that wait for a worker, or will once theirs is done."),
        _seconds("workqueue.queue_seconds", "From the add of a key to a worker taking it."),
        _seconds("workqueue.work_seconds", "From taking a key to Done."),
        _counter("workqueue.adds", "items", "Keys added that did not wait already."),
        _gauge("workqueue.unfinished_seconds", "seconds", "How long the runs in progress have taken, summed."),
        _gauge("workqueue.longest_running_seconds", "seconds", "How long the longest run in progress has taken."),
        _counter("workqueue.retries", "items", "Keys added after a delay."),
        _counter("workqueue.dropped", "items", "Keys given up after the retry limit: lost until next seen."),
        _counter("controller.reconciles", "reconciles", "Reconciles that ended."),
        _counter("controller.errors", "reconciles", "Reconciles that ended in an error."),
        _counter("controller.terminal_errors", "reconciles", "Of these: terminal ones, which are not tried again."),
        _counter("controller.panics", "reconciles", "Reconciles that panicked."),
        _counter("controller.requeues", "reconciles", "Reconciles that asked to be requeued, without an error."),
        _gauge("controller.failing_keys", "items", "Keys whose last run failed, whether they come back or were dropped."),
        _gauge("controller.runs_per_event", "reconciles", "Runs for each key that an event added: what retries multiply."),
        _gauge("controller.recovery_seconds", "seconds", "From the end of the last fault to the success of the last failing key."),
        _counter("controller.restarts", "restarts", "Times that a controller's process ended and was started again."),
        _counter("leader_election.changes", "changes", "Times that another process, or another life of it, took a lease over."),
        _gauge("leader_election.leaderless_seconds", "seconds", "Time without a leader after the first, of all leases."),
        _gauge("leader_election.two_leaders_seconds", "seconds", "Time with two that both act as leader of one lease."),
        _counter("writes.requests", "requests", "Attempts to write an object by declared writes of controllers and writers."),
        _counter("writes.succeeded", "writes", "Of these: those that succeeded."),
        _counter("writes.unchanged", "writes", "Of those that succeeded: nothing was different."),
        _counter("writes.changed", "writes", "Of those that succeeded: changed the object and undid nobody's change."),
        _counter("writes.conflicts", "requests", "Attempts refused because the object had changed (409)."),
        _counter("writes.failed", "requests", "Attempts that failed otherwise: denied, throttled, not answered, object gone."),
        _counter("writes.given_up", "writes", "Writes given up after the last retry."),
        _counter("writes.lost_updates", "writes", "Writes over what another had written since the object was read."),
        _counter("writes.transactions", "transactions", "What these attempts were to etcd; lost races included."),
        _gauge("writes.transactions_per_change", "transactions", "For each write that changed the object and undid nobody's."),
        _seconds("writes.change_seconds", "From the first read of a write to its success, retries and their pauses included."),
        _counter("events.recorded", "events", "Kubernetes Events that reconciles recorded."),
        _counter("events.dropped", "events", "Of these: lost because the recorder's queue was full."),
        _counter("events.skipped", "events", "Of these: lost to the spam filter."),
        _counter("events.created", "events", "Events created as objects."),
        _counter("events.patched", "events", "Events counted up on an object that was there."),
        _gauge("controller.workers_busy", "workers", "Workers that reconcile."),
        _counter("alert.fired", "alerts", "Times that an alert rule began to fire."),
        _gauge("alert.firing_seconds", "seconds", "How long it fired in all."),
        _gauge("alert.first_seconds", "seconds", "When it fired first."),
        _gauge("alert.lead_seconds", "seconds", "From then to when it was too late, by the rule's own `too_late`."),
        _counter("self_check.runs", "scans", "Looks of controllers' self-checks at their maps."),
        _counter("self_check.found", "keys", "Zero values that each look found, summed."),
        _counter("self_check.removed", "keys", "Zero values whose keys it deleted."),
        _gauge("self_check.cpu_seconds", "seconds", "CPU time of these looks."),
        _counter("rollout.rolled_back", "rollouts", "Rollouts that were undone."),
        _gauge("informer.keys", "keys", "Keys that the controllers' informers list."),
        _gauge("informer.degenerate_keys", "keys", "Of these: keys that name no object, the empty one and `namespace/`."),
        _gauge("informer.objects_lost", "items", "Objects that informers were told of and that none of their keys stands for."),
        _counter("informer.collisions", "items", "Objects that came to a key of an informer that another one had."),
        _counter("controller.scan_seconds", "seconds", "CPU time that reconciles spent on looking at every entry of their maps."),
        _counter("controller.scanned", "entries", "Entries looked at by these scans."),
        _counter("map.reads", "reads", "Reads of a map in memory, by all its threads."),
        _counter("map.writes", "writes", "Writes of it."),
        _counter("map.lost_updates", "writes", "Of these: taken back by another write that had copied the map before."),
        _gauge("map.seconds_per_read", "seconds", "A read, on average."),
        _gauge("map.seconds_per_write", "seconds", "A write, on average, its wait for other writers included."),
        _gauge("map.seconds_per_operation", "seconds", "A read or a write, on average."),
        _gauge("map.ended_seconds", "seconds", "When all operations were done."),
        _gauge("cache.zero_value_keys", "keys", "Entries of deleted objects that the controller's cache still holds."),
        _counter("cache.zero_values_seen", "keys", "Such entries found, by all passes over them together."),
    ),
    "guard": (
        _counter("storm.offered", "writes", "Writes of storms that reached etcd for the first time."),
        _counter("storm.accepted", "writes", "Of these: applied and answered, at the first or a later try."),
        _counter("storm.refused", "requests", "Tries of storms refused at once: limiter, gap of 5,000, NOSPACE."),
        _counter("storm.no_space", "requests", "Of these: because of the NOSPACE alarm."),
        _counter("storm.timeouts", "requests", "Tries of storms without an answer in time; one may still be applied."),
        _counter("storm.resent", "requests", "Writes of storms sent again after a refusal or a timeout."),
        _counter("storm.given_up", "writes", "Writes of storms given up after the last try."),
        _counter("storm.watch_events", "events", "Events of storms' puts for their watchers at etcd, once for each of them."),
        _counter("storm.watch_apply_seconds", "seconds", "Time of the applies that these watchers took."),
        _counter("storm.watch_beyond_channel", "events", "Of these: those that found a channel full: the watcher lost sync."),
        _gauge("storm.watch_backlog", "events", "The most that a watcher was behind: in its channel, or in a round."),
        _gauge("storm.watch_lag_seconds", "seconds", "From an apply until its event has left to a watcher: the longest."),
        _gauge("storm.watch_lag_mean_seconds", "seconds", "The same, on average of all events."),
        _counter("guard.admitted", "requests", "Requests that a limiter let pass."),
        _counter("guard.refused", "requests", "Requests that it refused."),
        _counter("guard.not_limited", "requests", "Requests of methods that it does not limit."),
        _gauge("guard.rate_per_second", "1/s", "The rate that it lets pass of each method."),
        _gauge("guard.least_rate_per_second", "1/s", "The lowest that this rate was."),
        _counter("guard.rate_changes", "changes", "How often its control loop or a reload changed the rate."),
        _counter("guard.rate_reversals", "changes", "Of these: in the other direction than the change before."),
        _counter("lookups.asked", "lookups", "Lookups by name of readers of a cache."),
        _counter("lookups.hits", "lookups", "Of these: those that found the object."),
        _counter("lookups.misses", "lookups", "Of these: those that found nothing."),
        _counter("lookups.fills", "writes", "Creates by readers who had found nothing."),
        _counter("lookups.fills_refused", "writes", "Of these: refused; the next reader finds nothing either."),
        _counter("guard.trips", "changes", "Times that a breaker opened."),
        _counter("guard.reopened", "changes", "Of these: before as many reads as it remembers had come since it closed."),
        _gauge("guard.seconds_open", "seconds", "Time in which a breaker refused writes."),
        _gauge("guard.state", "state", "0 closed, 1 half-open, 2 open."),
        _gauge("guard.invalid_share", "share", "Of the reads that a breaker remembers: those that found nothing."),
        _counter("guard.fsync_cuts", "cuts", "How often the rate began to be cut because of slow fsyncs."),
    ),
    "run": (
        _gauge("run.warm_up_seconds", "seconds", "Time left out at the beginning of a run with analysis: steady."),
    ),
}  # fmt: skip

_OF_A_WRITER: Final[dict[Group, tuple[Figure, ...]]] = {
    "keys": (
        _counter("keys_created", "keys", "Keys that did not exist and were put."),
        _gauge("keys_live", "keys", "Keys that exist at the end."),
        _counter("puts", "puts", "Puts applied."),
        _counter("deletes", "keys", "Keys deleted."),
        _counter("conflicts", "transactions", "Transactions that lost a race: an entry of the log without a revision."),
    ),
    "WAL": (
        _counter("wal_bytes_written", "bytes", "Bytes of its entries in the write-ahead log."),
    ),
    "apply": (
        _gauge("apply_tail_share", "share", "Its part of the waits of requests above the p99: entries, commits, live keys."),
    ),
}  # fmt: skip

_PROMETHEUS: Final = {
    "etcd.keys_live": Prometheus(
        "etcd_debugging_mvcc_keys_total", "gauge", "a gauge in spite of _total; falls at the delete, not at compaction"
    ),
    "etcd.puts": Prometheus("etcd_mvcc_put_total", "counter", "each member counts its own applies"),
    "etcd.leases_expired": Prometheus("etcd_debugging_server_lease_expired_total", "counter"),
    "etcd.leases_renewed": Prometheus("etcd_debugging_lease_renewed_total", "counter", "the leader's only"),
    "etcd.deletes": Prometheus("etcd_mvcc_delete_total", "counter", "counts delete calls, not the keys of a call"),
    "etcd.revision": Prometheus("etcd_debugging_mvcc_current_revision", "gauge", "since 3.5"),
    "etcd.wal_bytes_written": Prometheus(
        "etcd_disk_wal_write_bytes_total", "gauge", "a gauge, reset at restart; 3.4 and 3.5 count nearly every byte twice"
    ),
    "etcd_disk_wal_write_bytes_total": Prometheus(
        "etcd_disk_wal_write_bytes_total", "gauge", "a gauge, reset at restart; 3.4 and 3.5 count nearly every byte twice"
    ),
    "etcd.wal_fsyncs": Prometheus(
        "etcd_disk_wal_fsync_duration_seconds_count", "counter", "directory fsyncs at create and cut count too"
    ),
    "etcd.wal_fsync_seconds": Prometheus(
        "etcd_disk_wal_fsync_duration_seconds", "histogram", "lowest bucket 1 ms: a fast disk is not resolved"
    ),
    "etcd.backend_commit_seconds": Prometheus(
        "etcd_disk_backend_commit_duration_seconds", "histogram", "without the wait for the lock"
    ),
    "etcd.db_bytes_total": Prometheus(
        "etcd_mvcc_db_total_size_in_bytes", "gauge", "refreshed at each backend commit"
    ),
    "etcd.db_bytes_in_use": Prometheus(
        "etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", "refreshed at each backend commit"
    ),
    "etcd.apply_execution_seconds": Prometheus(
        "etcd_server_apply_duration_seconds", "histogram", "since 3.5; its help says v2, it is v3; blind to the queue"
    ),
    "etcd.compaction_seconds": Prometheus(
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "histogram", "lowest bucket 100 ms"
    ),
    "etcd.compaction_pause_seconds": Prometheus(
        "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "histogram", "in milliseconds"
    ),
    "etcd.proposals_failed": Prometheus(
        "etcd_server_proposals_failed_total", "counter", "one that timed out may still be applied"
    ),
    "etcd.leader_changes": Prometheus(
        "etcd_server_leader_changes_seen_total", "counter", "a fresh member shows 1; re-election of the same one counts"
    ),
    "etcd.request_seconds": Prometheus(
        "etcd_request_duration_seconds", "histogram", "the API server's; etcd's own needs --metrics=extensive or 3.7"
    ),
    "apiserver.request_seconds": Prometheus("apiserver_request_duration_seconds", "histogram"),
    "apiserver.admission_seconds": Prometheus("apiserver_admission_controller_admission_duration_seconds", "histogram"),
    "apiserver.conflicts": Prometheus("apiserver_request_total", "counter", 'its series with code="409"'),
    "etcd.watchers": Prometheus("etcd_debugging_mvcc_watcher_total", "gauge", "a gauge"),
    "etcd.slow_watchers": Prometheus("etcd_debugging_mvcc_slow_watcher_total", "gauge", "a gauge"),
    "etcd.watch_pending_events": Prometheus("etcd_debugging_mvcc_pending_events_total", "gauge", "a gauge"),
    "watch.events_sent": Prometheus("apiserver_watch_events_total", "counter"),
    "rest_client.request_seconds": Prometheus(
        "rest_client_request_duration_seconds", "histogram", "controller-runtime does not register it by default"
    ),
    "rest_client.rate_limiter_seconds": Prometheus(
        "rest_client_rate_limiter_duration_seconds", "histogram", "controller-runtime does not register it by default"
    ),
    "rest_client.requests": Prometheus("rest_client_requests_total", "counter"),
    "workqueue.depth": Prometheus(
        "workqueue_depth", "gauge", "the dirty set: counts a key added again while it runs, which nobody can take yet"
    ),
    "workqueue.queue_seconds": Prometheus(
        "workqueue_queue_duration_seconds", "histogram", "decade buckets; without the delay of AddAfter"
    ),
    "workqueue.work_seconds": Prometheus(
        "workqueue_work_duration_seconds", "histogram", "decade buckets: a p99 from them is very coarse"
    ),
    "apiserver.throttled": Prometheus("apiserver_flowcontrol_rejected_requests_total", "counter"),
    "apiserver.seat_wait_seconds": Prometheus(
        "apiserver_flowcontrol_request_wait_duration_seconds", "histogram", "counts those that did not wait, too"
    ),
    "workqueue.adds": Prometheus("workqueue_adds_total", "counter", "a key that waits already is not counted again"),
    "workqueue.unfinished_seconds": Prometheus("workqueue_unfinished_work_seconds", "gauge", "renewed every 500 ms"),
    "workqueue.longest_running_seconds": Prometheus(
        "workqueue_longest_running_processor_seconds", "gauge", "renewed every 500 ms"
    ),
    "controller.terminal_errors": Prometheus("controller_runtime_terminal_reconcile_errors_total", "counter"),
    "controller.panics": Prometheus("controller_runtime_reconcile_panics_total", "counter"),
    "workqueue.retries": Prometheus(
        "workqueue_retries_total", "counter", "client-go counts a zero delay too, the priority queue does not"
    ),
    "controller.reconciles": Prometheus("controller_runtime_reconcile_total", "counter"),
    "controller.errors": Prometheus("controller_runtime_reconcile_errors_total", "counter"),
    "controller.workers_busy": Prometheus("controller_runtime_active_workers", "gauge"),
    "cache.zero_values_seen": Prometheus(
        "controller_cache_zero_value_keys_total",
        "counter",
        "the article's: its rate is stock times scan rate, not growth",
    ),
}  # fmt: skip

_BY_NAME: Final = {
    figure.name: replace(figure, group=group, prometheus=_PROMETHEUS.get(figure.name))
    for group, figures in _FIGURES.items()
    for figure in figures
}
_BY_NAME_OF_A_WRITER: Final = {
    figure.name: replace(figure, group=group) for group, figures in _OF_A_WRITER.items() for figure in figures
}
_BY_NAME_OF_AN_OBJECT: Final = {
    figure.name: replace(figure, group="WAL")
    for figure in (
        _counter("wal_entries", "entries", "Entries of the write-ahead log, lost races included."),
        _counter("wal_bytes_written", "bytes", "Bytes of these entries in the write-ahead log."),
    )
}
_PLACE: Final = {name: place for place, name in enumerate(_BY_NAME)}
_WRITES: Final = tuple(name for name, figure in _BY_NAME.items() if name.startswith("writes.") and figure.kind != "distribution")
_FLEETS: Final = tuple(name for name in _BY_NAME if name.startswith(("fleet.", "map.")))
_REPEATED: Final = {
    "members.": (
        "memory_bytes", "database_missing_share", "wal_bytes_written", "wal_bytes_on_disk", "wal_fsync_seconds",
        "backend_commit_seconds", "db_bytes_total", "db_bytes_in_use", "apply_lag_seconds",
    ),
    "controllers.": (
        "reconciles", "errors", "requests", "timeouts", "failing_keys", "runs_per_event", "adds", "retries", "dropped",
        "depth", "zero_value_keys", "queue_seconds", "work_seconds", "scan_seconds", "scanned", *_WRITES,
        *(name for name in _BY_NAME if name.startswith("events.")),
    ),
    "workloads.": (*_WRITES, *_FLEETS, *(name for name in _BY_NAME if name.startswith(("storm.", "lookups.", "watches.")))),
    "alerts.": ("fired", "firing_seconds", "first_seconds", "lead_seconds"),
    "guards.": tuple(name.removeprefix("guard.") for name in _BY_NAME if name.startswith("guard.")),
}  # fmt: skip
"""Figures of the whole that a run also reports of each member, controller or workload."""
_OWNERS: Final = {
    "members.": ("Of that member.", ("etcd.", ""), _BY_NAME),
    "controllers.": ("Of that controller.", ("", "controller.", "workqueue.", "rest_client.", "cache."), _BY_NAME),
    "workloads.": ("Of that workload.", ("",), _BY_NAME),
    "alerts.": ("Of that rule.", ("alert.",), _BY_NAME),
    "guards.": ("Of that guard.", ("guard.",), _BY_NAME),
    "writers.": ("Caused by that writer.", ("",), _BY_NAME_OF_A_WRITER),
    "objects.": ("With objects of that kind.", ("",), _BY_NAME_OF_AN_OBJECT),
}


def catalogue() -> list[Figure]:
    """Every figure without suffixes, by group, in the order of display; what has an owner as `writers.<name>.what`."""
    owned = [
        replace(figure, name=f"{owner}<name>.{figure.name}")
        for owner, figures in (("writers.", _BY_NAME_OF_A_WRITER), ("objects.", _BY_NAME_OF_AN_OBJECT))
        for figure in figures.values()
    ]
    repeated = [
        replace(found, name=f"{owner}<name>.{what}")
        for owner, names in _REPEATED.items()
        for what in names
        if (found := describe(f"{owner}x.{what}")) is not None
    ]
    return [*_BY_NAME.values(), *owned, *repeated]


def describe(name: str) -> Figure | None:
    """The figure of that name, which may carry a suffix and an owner; None where no run reports such a figure."""
    for owner, (meaning, prefixes, figures) in _OWNERS.items():
        if name.startswith(owner):
            found = _owned(name.removeprefix(owner), prefixes, figures)
            return found and replace(found, name=name, meaning=f"{found.meaning} {meaning}")
    return _suffixed(name, _BY_NAME)


def base(name: str) -> str:
    """The name without its suffix: `etcd.apply_seconds` of `etcd.apply_seconds.p99`."""
    head, _, last = name.rpartition(".")
    return head if head in _BY_NAME and last in SUFFIXES[_BY_NAME[head].kind] else name


def count_of(name: str) -> str | None:
    """The figure that counts the samples behind a quantile, mean or maximum; None for what is no distribution's."""
    known = describe(name)
    head, _, suffix = name.rpartition(".")
    if known is None or known.kind != "distribution" or suffix not in SUFFIXES["distribution"] or suffix == "count":
        return None
    return f"{head}.count"


def order(name: str) -> tuple[int, int, str]:
    """A sort key: the order of the catalogue, then of the suffixes; what has an owner or is unknown comes last."""
    root = base(name)
    if root not in _PLACE:
        return len(_PLACE), 0, name
    suffix = name.removeprefix(root).removeprefix(".")
    return _PLACE[root], ("", *SUFFIXES["distribution"]).index(suffix), name


def _suffixed(name: str, figures: dict[str, Figure]) -> Figure | None:
    if name in figures:
        return figures[name]
    head, _, suffix = name.rpartition(".")
    figure = figures.get(head)
    if figure is None or suffix not in SUFFIXES[figure.kind]:
        return None
    return replace(figure, name=name, unit="samples" if suffix == "count" else figure.unit)


def _owned(rest: str, prefixes: tuple[str, ...], figures: dict[str, Figure]) -> Figure | None:
    """The figure of `<name>.what`. A name may hold dots, so every split is tried, the longest `what` first."""
    parts = rest.split(".")
    for at in range(1, len(parts)):
        what = ".".join(parts[at:])
        candidates = [_suffixed(prefix + what, figures) for prefix in prefixes]
        for found in candidates:
            if found is not None:
                return found
    return None
