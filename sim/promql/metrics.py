"""The metrics that rules may name: real names, real types, real buckets; and names that do not exist, with those that do.

Sources: etcd server/storage/wal/metrics.go, backend/metrics.go, mvcc/metrics.go, etcdserver/metrics.go; client-go util/workqueue;
controller-runtime pkg/internal/controller/metrics, pkg/metrics/workqueue.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sim.errors import InputError, nearest

Type = Literal["counter", "gauge", "histogram"]

_MILLISECONDS: Final = tuple(0.001 * 2**power for power in range(14))
_TENTHS: Final = tuple(0.0001 * 2**power for power in range(20))
_DECADES: Final = tuple(1e-8 * 10.0**power for power in range(12))


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its name, its real type, the figure that a run keeps of it, and the upper bounds of its buckets in seconds."""

    name: str
    type: Type
    figure: str
    bounds: tuple[float, ...] = ()


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("etcd_disk_wal_fsync_duration_seconds", "histogram", "etcd.wal_fsync_seconds", _MILLISECONDS),
        Metric("etcd_disk_backend_commit_duration_seconds", "histogram", "etcd.backend_commit_seconds", _MILLISECONDS),
        Metric("etcd_server_apply_duration_seconds", "histogram", "etcd.apply_execution_seconds", _TENTHS),
        Metric("workqueue_queue_duration_seconds", "histogram", "workqueue.queue_seconds", _DECADES),
        Metric("workqueue_work_duration_seconds", "histogram", "workqueue.work_seconds", _DECADES),
        Metric("etcd_disk_wal_write_bytes_total", "gauge", "etcd_disk_wal_write_bytes_total"),
        Metric("etcd_debugging_mvcc_keys_total", "gauge", "etcd.keys_live"),
        Metric("etcd_debugging_mvcc_current_revision", "gauge", "etcd.revision"),
        Metric("etcd_mvcc_put_total", "counter", "etcd.puts"),
        Metric("etcd_mvcc_db_total_size_in_bytes", "gauge", "etcd.db_bytes_total"),
        Metric("etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", "etcd.db_bytes_in_use"),
        Metric("etcd_server_quota_backend_bytes", "gauge", "etcd.quota_bytes"),
        Metric("etcd_server_proposals_failed_total", "counter", "etcd.proposals_failed"),
        Metric("workqueue_depth", "gauge", "workqueue.depth"),
        Metric("workqueue_adds_total", "counter", "workqueue.adds"),
        Metric("workqueue_retries_total", "counter", "workqueue.retries"),
        Metric("workqueue_unfinished_work_seconds", "gauge", "workqueue.unfinished_seconds"),
        Metric("workqueue_longest_running_processor_seconds", "gauge", "workqueue.longest_running_seconds"),
        Metric("controller_runtime_reconcile_total", "counter", "controller.reconciles"),
        Metric("controller_runtime_reconcile_errors_total", "counter", "controller.errors"),
        Metric("rest_client_requests_total", "counter", "rest_client.requests"),
        Metric("controller_cache_zero_value_keys_total", "counter", "cache.zero_values_seen"),
        Metric("controller_cache_zero_value_keys", "gauge", "cache.zero_value_keys"),
    )
}
"""`controller_cache_zero_value_keys`, a gauge of the entries, is ours: what the article's exporter would have to export beside."""

_NOT_THERE: Final = {
    "etcd_disk_backend_fsync_duration_seconds": (
        "etcd has no such metric: etcd_disk_wal_fsync_duration_seconds is the log's fsync, "
        "etcd_disk_backend_commit_duration_seconds the backend's commit"
    ),
    "etcd_debugging_mvcc_db_fsync_duration_seconds": (
        "etcd has no such metric: etcd_disk_wal_fsync_duration_seconds is the log's fsync, "
        "etcd_disk_backend_commit_duration_seconds the backend's commit"
    ),
    "redis_zeroval_keys_total": "a metric of another store; the controller's is controller_cache_zero_value_keys_total",
    "redis_key_count": "a metric of another store; etcd's is etcd_debugging_mvcc_keys_total",
}


def resolve(name: str) -> tuple[Metric, str]:
    """The metric that a series belongs to, and its part: `bucket`, `sum`, `count`, or empty. Raises InputError."""
    if name in METRICS:
        metric = METRICS[name]
        if metric.type == "histogram":
            raise InputError(f"{name} is a histogram: write {name}_bucket, {name}_sum or {name}_count")
        return metric, ""
    base, _, part = name.rpartition("_")
    if part in ("bucket", "sum", "count") and base in METRICS and METRICS[base].type == "histogram":
        return METRICS[base], part
    for wrong in (name, base):
        if wrong in _NOT_THERE:
            raise InputError(f"{wrong}: {_NOT_THERE[wrong]}")
    raise InputError(f"{name}: no run exposes this metric{nearest(name, METRICS) or '; one of ' + ', '.join(METRICS)}")
