"""From what a recorder kept to the figures of a run, under the names that users rely on."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.assembly import World
from sim.metrics.histogram import Histogram
from sim.metrics.recorder import STEPS, WAL_COUNTED_ONCE, Recorder
from sim.metrics.steady import WARM_UP, settled_after
from sim.processes.reconcilers import WriteTally
from sim.processes.running import RunningController
from sim.result import Distribution, Run, upper_seconds
from sim.units import HOUR, MINUTE, SECOND, Nanoseconds, seconds
from sim.watch_figures import watch_figures

_WRITES: Final = (
    "requests", "succeeded", "unchanged", "changed", "conflicts", "failed", "given_up", "lost_updates", "transactions",
)  # fmt: skip
_EVENTS: Final = ("recorded", "dropped", "skipped", "created", "patched")
_STORMS: Final = ("offered", "accepted", "refused", "no_space", "timeouts", "resent", "given_up")
_LOOKUPS: Final = ("asked", "hits", "misses", "fills", "fills_refused")
_QUARTERS: Final = 4
_FURTHEST: Final = 1000
"""What would take so many times as long as was seen is no growth."""
_SHORTEST: Final = 30 * MINUTE
"""Below this horizon nothing is said of a quota that was not reached: compaction has not shown its effect yet."""


def distribution(histogram: Histogram) -> Distribution:
    """A histogram as it leaves a run, in seconds."""
    buckets, counts = histogram.buckets()
    if not histogram.count:
        return Distribution.empty()
    return Distribution(
        count=histogram.count, sum_seconds=histogram.sum / SECOND, min_seconds=histogram.min / SECOND,
        max_seconds=histogram.max / SECOND, upper_seconds=upper_seconds(buckets), counts=counts,
    )  # fmt: skip


def summarise(recorder: Recorder, variant: str, seed: int, wall_seconds: float) -> Run:
    """The run that a recorder has watched up to its horizon."""
    world, horizon = recorder.world, recorder.horizon
    leader, backend = world.leader, world.backend
    series = pd.DataFrame(recorder.rows).set_index("seconds")
    distributions = {name: distribution(histogram) for name, histogram in recorder.histograms.items()}
    windows = {
        name: [distribution(window) for window in histogram.windows]
        for name, histogram in recorder.histograms.items()
        if histogram.windows
    }
    warm_up = settled_after(series.iloc[:STEPS], recorder.windows) if recorder.steady else None
    left_out = warm_up or 0
    if left_out:
        distributions = {name: Distribution.empty().merge(*of[left_out:]) for name, of in windows.items()}
    counts = recorder.by_writer
    created = sum(c.created for c in counts)
    clients = [client for of_one in world.clients.values() for client in of_one]
    for led in world.leaderships:
        led.advance(horizon)
    metrics: dict[str, float | None] = {
        "etcd.keys_created": created,
        "etcd.keys_created_per_hour": _per_hour(created, series, left_out / recorder.windows, horizon),
        "etcd.keys_live": recorder.keys_live,
        "etcd.puts": recorder.puts,
        "etcd.deletes": sum(c.deleted for c in counts),
        "etcd.revision": recorder.revision,
        "etcd.revisions_retained": recorder.retained,
        "etcd.wal_bytes_written": leader.log.written,
        "etcd.wal_bytes_on_disk": leader.member.files.on_disk,
        "etcd_disk_wal_write_bytes_total": leader.log.written * (2 if world.scenario.etcd.release < WAL_COUNTED_ONCE else 1),
        "etcd.wal_fsyncs": recorder.histograms["etcd.wal_fsync_seconds"].count,
        "etcd.db_bytes_total": backend.database.value_at(horizon, 0),
        "etcd.db_bytes_in_use": backend.database.value_at(horizon, 1),
        "etcd.proposals_failed": leader.deadlines.failed,
        "etcd.requests_refused": sum(leader.refusals.counts.values()),
        "etcd.leases_expired": world.lessor.expired,
        "etcd.leases_renewed": world.lessor.renewed,
        "etcd.reads": sum(reads.served for reads in world.entrances.served),
        "etcd.leader_changes": leader.changes,
        "etcd.leaderless_seconds": seconds(world.elections.leaderless),
        "etcd.writes_per_batch": leader.entries / leader.batches if leader.batches else None,
        "apiserver.conflicts": sum(server.conflicts for server in world.servers),
        "apiserver.rejected": sum(server.rejected for server in world.servers),
        "watch.relists": sum(hub.relists for hub in world.hubs),
        "watch.expired": sum(hub.expired for hub in world.hubs),
        "watch.closed": sum(sum(hub.told.closed.values()) for hub in world.hubs),
        "watch.events_sent": sum(hub.sent for hub in world.hubs),
        "rest_client.requests": sum(client.requests for client in clients),
        "apiserver.throttled": sum(server.throttled for server in world.servers),
        "apiserver.unchanged": sum(server.unchanged for server in world.servers),
        "apiserver.etcd_reads": sum(server.reads for server in world.servers),
        "rest_client.resent": sum(client.resent for client in clients),
        "rest_client.timeouts": sum(client.given_up for client in clients),
        "workqueue.depth.max": max((c.depth_max for c in world.controllers), default=0),
        "workqueue.retries": sum(c.retries for c in world.controllers),
        "workqueue.adds": sum(c.adds for c in world.controllers),
        "workqueue.unfinished_seconds.max": float(series["workqueue.unfinished_seconds"].max()),
        "workqueue.longest_running_seconds.max": float(series["workqueue.longest_running_seconds"].max()),
        "workqueue.dropped": sum(c.tally.dropped for c in world.controllers),
        "controller.reconciles": sum(c.tally.reconciles for c in world.controllers),
        "controller.errors": sum(c.tally.errors for c in world.controllers),
        "controller.terminal_errors": sum(c.tally.terminal_errors for c in world.controllers),
        "controller.panics": sum(c.tally.panics for c in world.controllers),
        "controller.scan_seconds": sum(scan.spent for c in world.controllers for scan in c.scans) / SECOND,
        "controller.scanned": sum(scan.entries for c in world.controllers for scan in c.scans),
        "self_check.runs": sum(check.runs for c in world.controllers for check in c.checks),
        "self_check.found": sum(check.found for c in world.controllers for check in c.checks),
        "self_check.removed": sum(check.removed for c in world.controllers for check in c.checks),
        "self_check.cpu_seconds": sum(check.scan.spent for c in world.controllers for check in c.checks) / SECOND,
        "rollout.rolled_back": sum(rollout.rolled_back for rollout in world.rollouts.values()),
        "controller.requeues": sum(c.tally.requeues for c in world.controllers),
        "controller.failing_keys": sum(len(c.tally.failing) for c in world.controllers),
        "controller.failing_keys.max": sum(c.tally.failing_max for c in world.controllers),
        "controller.runs_per_event": _runs_per_event(world.controllers),
        "controller.restarts": sum(max(0, manager.lives - 1) for manager in world.managers),
        "leader_election.changes": sum(max(0, led.changes - 1) for led in world.leaderships),
        "leader_election.leaderless_seconds": seconds(sum(led.without for led in world.leaderships)),
        "leader_election.two_leaders_seconds": seconds(sum(led.with_two for led in world.leaderships)),
        "controller.workers_busy.max": max((c.tally.busy_max for c in world.controllers), default=0),
        "cache.zero_value_keys": sum(c.cache.zero_values for c in world.controllers),
        "informer.keys": sum(part.keys for part in world.informers),
        "informer.degenerate_keys": sum(part.degenerate_keys for part in world.informers),
        "informer.degenerate_keys.max": float(series["informer.degenerate_keys"].max()),
        "informer.objects_lost": sum(part.objects_lost for part in world.informers),
        "informer.collisions": sum(part.collisions for part in world.informers),
        "cache.zero_values_seen": sum(c.zero_values_seen for c in world.controllers),
    }
    tallies = [*(c.writes for c in world.controllers), *world.writes.values()]
    metrics |= {f"writes.{figure}": sum(getattr(tally, figure) for tally in tallies) for figure in _WRITES}
    metrics["writes.transactions_per_change"] = _per_change(tallies)
    recorders = [recorder for c in world.controllers for recorder in c.recorders]
    metrics |= {f"events.{figure}": sum(getattr(recorder, figure) for recorder in recorders) for figure in _EVENTS}
    status: dict[str, str] = {}
    metrics["controller.recovery_seconds"], status["controller.recovery_seconds"] = _recovery(recorder)
    metrics["etcd.seconds_to_quota"], status["etcd.seconds_to_quota"] = _seconds_to_quota(recorder, series)
    if recorder.steady:
        metrics[WARM_UP] = None if warm_up is None else seconds(horizon) * left_out / recorder.windows
        status[WARM_UP] = "never" if warm_up is None else "reached"
    for name, found in distributions.items():
        metrics.update(found.figures(name))
    for name, member in world.members.items():
        metrics[f"members.{name}.wal_bytes_written"] = member.log.written
        metrics[f"members.{name}.wal_bytes_on_disk"] = member.files.on_disk
        for figure in ("db_bytes_total", "db_bytes_in_use"):  # the same entries in the same order make the same file
            metrics[f"members.{name}.{figure}"] = metrics[f"etcd.{figure}"]
    for name, shape in world.shapes.items():
        if shape.entries:
            metrics[f"objects.{name}.wal_entries"] = shape.entries
            metrics[f"objects.{name}.wal_bytes_written"] = shape.frames
    for name in world.scenario.controllers:
        own = [c for c in world.controllers if c.name == name]
        metrics[f"controllers.{name}.reconciles"] = sum(c.tally.reconciles for c in own)
        metrics[f"controllers.{name}.errors"] = sum(c.tally.errors for c in own)
        metrics[f"controllers.{name}.requests"] = sum(client.requests for client in world.clients[name])
        metrics[f"controllers.{name}.timeouts"] = sum(client.given_up for client in world.clients[name])
        metrics[f"controllers.{name}.failing_keys"] = sum(len(c.tally.failing) for c in own)
        metrics[f"controllers.{name}.runs_per_event"] = _runs_per_event(own)
        metrics[f"controllers.{name}.retries"] = sum(c.retries for c in own)
        metrics[f"controllers.{name}.dropped"] = sum(c.tally.dropped for c in own)
        metrics[f"controllers.{name}.adds"] = sum(c.adds for c in own)
        metrics[f"controllers.{name}.depth.max"] = max(c.depth_max for c in own)
        scans = [scan for c in own for scan in c.scans]
        metrics[f"controllers.{name}.scan_seconds"] = sum(scan.spent for scan in scans) / SECOND
        metrics[f"controllers.{name}.scanned"] = sum(scan.entries for scan in scans)
        metrics[f"controllers.{name}.zero_value_keys"] = sum(c.cache.zero_values for c in own)
        for figure in _WRITES:
            metrics[f"controllers.{name}.writes.{figure}"] = sum(getattr(c.writes, figure) for c in own)
        metrics[f"controllers.{name}.writes.transactions_per_change"] = _per_change([c.writes for c in own])
        mine = [recorder for c in own for recorder in c.recorders]
        if mine:
            for figure in _EVENTS:
                metrics[f"controllers.{name}.events.{figure}"] = sum(getattr(recorder, figure) for recorder in mine)
    for name, tally in world.writes.items():
        for figure in _WRITES:
            metrics[f"workloads.{name}.writes.{figure}"] = getattr(tally, figure)
        metrics[f"workloads.{name}.writes.transactions_per_change"] = _per_change([tally])
    metrics |= _fleets(recorder)
    metrics |= guard_figures(world, horizon, series)
    metrics |= watch_figures(world, horizon, series)
    metrics |= _alerts(recorder)
    if recorder.scraper is not None:
        status |= {
            f"alerts.{rule.name}.first_seconds": "reached" if rule.fired else "never" for rule in recorder.scraper.rules
        }
    p99 = distributions["etcd.apply_seconds"].quantile(0.99)
    shares, kinds = backend.tail.shares(round((p99 or 0.0) * SECOND))
    for kind, share in kinds.items():
        metrics[f"etcd.apply_tail_share.{kind}"] = share
    writers: dict[str, dict[str, float]] = {}
    for number, name in enumerate(world.writers):
        row = counts[number]
        found_any = row.created or row.updated or row.deleted or leader.bytes_by_writer[number] or shares[number]
        found_any = found_any or backend.live_by_writer[number]
        if found_any:
            writers[name] = {
                "keys_created": row.created,
                "keys_live": backend.live_by_writer[number],
                "puts": row.created + row.updated,
                "deletes": row.deleted,
                "conflicts": row.conflicts,
                "wal_bytes_written": leader.bytes_by_writer[number],
                "apply_tail_share": shares[number],
            }
    metrics |= {f"writers.{name}.{what}": value for name, row in writers.items() for what, value in row.items()}
    incidents = sorted(
        (incident for incident in world.incidents if incident.at_seconds * SECOND <= horizon), key=lambda incident:
        incident.at_seconds
    )
    return Run(
        variant, seed, seconds(horizon), metrics, status, writers, incidents, series,
        distributions, windows, wall_seconds,
    )  # fmt: skip


def _runs_per_event(controllers: list[RunningController]) -> float | None:
    """Runs for each key that an event added: a key that waited for a delay was added once more when that was over."""
    added = sum(c.adds - c.retries for c in controllers)
    return sum(c.tally.reconciles for c in controllers) / added if added > 0 else None


def _recovery(recorder: Recorder) -> tuple[float | None, str]:
    """From the end of the last fault to the success of the last key that had failed; 0 where none failed any more by then.

    unknown: there was no fault, or its end is not reached. never: a key that failed, or was dropped, has not succeeded by then.
    """
    world, horizon = recorder.world, recorder.horizon
    ends = [end for spells in world.calendars.spells.values() for begins, end in spells if begins < horizon]
    if not ends or max(ends) >= horizon or not world.controllers:
        return None, "unknown"
    if any(c.tally.failing for c in world.controllers):
        return None, "never"
    settled = max(c.tally.settled_at for c in world.controllers)
    return seconds(max(0, settled - max(ends))), "reached"


def _per_change(tallies: list[WriteTally]) -> float | None:
    """Transactions for each write that changed something and undid nobody's; None where there was none."""
    changes = sum(tally.changed for tally in tallies)
    return sum(tally.transactions for tally in tallies) / changes if changes else None


def _fleets(recorder: Recorder) -> dict[str, float | None]:
    """What fleets of the scenario's workloads have done; keys are counted one by one in the index."""
    world = recorder.world
    fleets = world.fleets
    found: dict[str, float | None] = {}
    listed = Counter(state.creator for state in world.backend.mvcc.named.values() if state.version) if fleets.names else Counter()
    for name in fleets.names:
        found[f"workloads.{name}.fleet.keys_listed"] = listed[world.writers.index(name)]
    for name, rotation in fleets.rotations.items():
        found[f"workloads.{name}.fleet.certificates"] = rotation.issued
    for name, edges in fleets.edges.items():
        found[f"workloads.{name}.fleet.measurements"] = sum(edge.measured for edge in edges)
    for name, threads in fleets.maps.items():
        done = {"read": (threads.reading, threads.reads), "write": (threads.writing, threads.writes)}
        done["operation"] = (threads.reading + threads.writing, threads.reads + threads.writes)
        for what, (spent, count) in done.items():
            found[f"workloads.{name}.map.seconds_per_{what}"] = spent / SECOND / count if count else None
        found[f"workloads.{name}.map.reads"], found[f"workloads.{name}.map.writes"] = threads.reads, threads.writes
        found[f"workloads.{name}.map.lost_updates"] = threads.lost
        found[f"workloads.{name}.map.ended_seconds"] = threads.ended / SECOND
    return found


def guard_figures(world: World, horizon: Nanoseconds, series: pd.DataFrame) -> dict[str, float | None]:
    """What storms offered, what readers found, and what guards did."""
    storms = [storm.tally for storm in world.storms.values()]
    metrics: dict[str, float | None] = {f"storm.{figure}": sum(getattr(s, figure) for s in storms) for figure in _STORMS}
    for name, storm in world.storms.items():
        metrics |= {f"workloads.{name}.storm.{figure}": getattr(storm.tally, figure) for figure in _STORMS}
    for name, limiter in world.guards.limiters.items():
        metrics[f"guards.{name}.admitted"] = limiter.admitted
        metrics[f"guards.{name}.refused"] = limiter.refused
        metrics[f"guards.{name}.not_limited"] = limiter.passed
        metrics[f"guards.{name}.rate_per_second.mean"] = limiter.mean_rate(horizon)
        metrics[f"guards.{name}.rate_per_second.max"] = limiter.most
        metrics[f"guards.{name}.least_rate_per_second"] = limiter.least
        metrics[f"guards.{name}.rate_changes"] = limiter.changes
        metrics[f"guards.{name}.rate_reversals"] = limiter.reversals
        metrics[f"guards.{name}.fsync_cuts"] = limiter.cuts
    for name, breakers in world.guards.breakers.items():
        metrics[f"guards.{name}.admitted"] = sum(one.passed for one in breakers)
        metrics[f"guards.{name}.refused"] = sum(one.refused for one in breakers)
        metrics[f"guards.{name}.trips"] = sum(one.trips for one in breakers)
        metrics[f"guards.{name}.reopened"] = sum(one.reopened for one in breakers)
        metrics[f"guards.{name}.seconds_open"] = sum(one.seconds_open(horizon) for one in breakers) / max(1, len(breakers))
        metrics[f"guards.{name}.state.max"] = float(series[f"guards.{name}.state"].max())
        metrics[f"guards.{name}.state.mean"] = float(series[f"guards.{name}.state"].mean())
    for name, memory in world.memories.items():
        metrics[f"members.{name}.memory_bytes.max"] = memory.most
        metrics[f"members.{name}.database_missing_share.max"] = memory.most_missing
    lookups = world.lookups.values()
    metrics |= {f"lookups.{figure}": sum(getattr(tally, figure) for tally in lookups) for figure in _LOOKUPS}
    for name, tally in world.lookups.items():
        metrics |= {f"workloads.{name}.lookups.{figure}": getattr(tally, figure) for figure in _LOOKUPS}
    return metrics


def _alerts(recorder: Recorder) -> dict[str, float | None]:
    """When each alert rule fired, and how long before it was too late."""
    found: dict[str, float | None] = {}
    for rule in recorder.scraper.rules if recorder.scraper is not None else ():
        found[f"alerts.{rule.name}.fired"] = len(rule.fired)
        found[f"alerts.{rule.name}.firing_seconds"] = rule.firing_seconds
        found[f"alerts.{rule.name}.first_seconds"] = rule.fired[0] if rule.fired else None
        found[f"alerts.{rule.name}.lead_seconds"] = rule.lead_seconds
    return found


def _per_hour(created: int, series: pd.DataFrame, warm_up: float, horizon: int) -> float:
    """Keys created an hour, without those of the warm-up, a share of the horizon."""
    if not warm_up:
        return created * HOUR / horizon
    before = float(series["etcd.keys_created"].iloc[round(warm_up * STEPS) - 1])
    return (created - before) * HOUR / (horizon * (1 - warm_up))


def _seconds_to_quota(recorder: Recorder, series: pd.DataFrame) -> tuple[float | None, str]:
    """When the database reaches the quota: as seen, or as it has been growing; and which of the two.

    never: without a quota, where the file did not grow in the last quarter of the run, or where that growth would take over
    1,000 times the run: a page more or less. unknown: the run is too short to tell.
    """
    world = recorder.world
    quota = world.scenario.etcd.quota
    if quota is None:
        return None, "never"
    for incident in world.incidents:
        if incident.kind == "quota":
            return incident.at_seconds, "reached"
    if recorder.horizon < _SHORTEST or len(series) < _QUARTERS * 2:
        return None, "unknown"
    size = series["etcd.db_bytes_total"].to_numpy(dtype=np.float64)
    times = series.index.to_numpy(dtype=np.float64)
    left = time_to_grow(times, size, quota - size[-1])
    return (None, "never") if left is None else (float(times[-1] + left), "extrapolated")


def time_to_grow(times: NDArray[np.float64], size: NDArray[np.float64], by: float) -> float | None:
    """Seconds until `size` has grown by so many more bytes; None where it does not grow in the last quarter of the times, or so
    little (a page or two) that it would take over 1,000 times as long as was seen.

    A straight line through that quarter; where the growth itself has been growing evenly over the last three quarters (a leak's is
    quadratic), that goes on too.
    """
    edges = np.linspace(0, len(size) - 1, _QUARTERS + 1).astype(np.int64)
    rates = np.diff(size[edges]) / np.diff(times[edges])
    rate = rates[-1]
    if rate <= 0 or by / rate > _FURTHEST * times[-1]:
        return None
    second, third, fourth = rates[-3:]
    steps = third - second, fourth - third
    if second <= 0 or min(steps) <= 0 or max(steps) > 2 * min(steps):
        return float(by / rate)
    span = times[edges[-1]] - times[edges[-2]]
    acceleration = (fourth - second) / (2 * span)
    now = rate + acceleration * span / 2  # a quarter's mean rate is that of its middle
    return float((np.sqrt(now**2 + 2 * acceleration * by) - now) / acceleration)
