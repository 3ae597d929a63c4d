"""Watches a world while it runs: takes what has happened by now out of journals and samples, and keeps what stays small.

Called at equal steps of simulated time (never more than a couple of thousand a run) it empties every journal up to now, fills the
histograms, counts by writer, and notes one row of the time series. Nothing in the hot path knows it.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.assembly import World
from sim.etcd.backend import CODES
from sim.etcd.request import Outcome
from sim.journal import Journal
from sim.metrics.histogram import Histogram
from sim.metrics.scraper import Scraper
from sim.result import Incident
from sim.units import SECOND, Nanoseconds

STEPS: Final = 1920
"""Observations of a run."""
WINDOWS: Final = 24
STEADY_WINDOWS: Final = 48
"""Of a steady run: its warm-up is left out by whole windows."""
WAL_COUNTED_ONCE: Final = (3, 6, 0)
"""Before this version etcd counts each byte of the WAL twice, when it is buffered and when it is flushed (wal/encoder.go)."""
_TAIL_QUANTILE: Final = 0.9
_ENOUGH: Final = 50


@dataclass(slots=True)
class Counts:
    """What one writer's entries did."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    conflicts: int = 0


_DISTRIBUTIONS: Final = (
    "etcd.apply_seconds", "etcd.apply_execution_seconds", "etcd.commit_seconds", "etcd.wal_fsync_seconds",
    "etcd.backend_commit_seconds", "etcd.compaction_seconds", "etcd.compaction_pause_seconds", "etcd.request_seconds",
    "etcd.list_seconds", "etcd.read_seconds", "apiserver.request_seconds", "apiserver.admission_seconds",
    "rest_client.request_seconds",
    "rest_client.rate_limiter_seconds",
    "apiserver.seat_wait_seconds", "watch.lag_seconds", "workqueue.queue_seconds", "workqueue.work_seconds",
    "writes.change_seconds",
)  # fmt: skip


class Recorder:
    """Histograms, counts and series of one run of `world` up to `horizon`, nanoseconds."""

    def __init__(self, world: World, horizon: Nanoseconds):
        self.world, self.horizon = world, horizon
        self.by_writer = [Counts() for _ in world.writers]
        self.rows: list[dict[str, float]] = []
        mvcc = world.backend.mvcc
        self.revision = mvcc.revision
        self._keys, self._retained, self._removed = mvcc.keys_live, mvcc.retained, 0
        self._observed: Nanoseconds = -1  # until when
        self._revoked = -1  # when the last revoke that was counted was done
        self.steady = world.scenario.analysis == "steady"
        self.windows = STEADY_WINDOWS if self.steady else WINDOWS
        self.histograms = {name: Histogram(self.steady or name.startswith("etcd.")) for name in _DISTRIBUTIONS}
        for name in world.members:
            for figure in ("wal_fsync_seconds", "backend_commit_seconds"):
                self.histograms[f"members.{name}.{figure}"] = Histogram(self.steady)
        for name in world.entrances.gates:
            self.histograms[f"members.{name}.apply_lag_seconds"] = Histogram(self.steady)
        for name in world.scenario.controllers:
            for figure in ("queue_seconds", "work_seconds"):
                own = Histogram(self.steady) if len(world.scenario.controllers) > 1 else self.histograms[f"workqueue.{figure}"]
                self.histograms[f"controllers.{name}.{figure}"] = own

        alerts = world.scenario.alerts
        self.scraper = Scraper(alerts, self._alerted) if alerts else None
        for name, rollout in world.rollouts.items():
            objective = world.scenario.rollouts[name].rollback_on
            if objective is not None:
                rollout.breached = partial(self._breached, objective)

    def _alerted(self, now: Nanoseconds, about: str) -> None:
        self.world.incidents.append(Incident(now / SECOND, "alert", about))

    def _breached(self, name: str) -> str | None:
        """How the last row breaks an objective; None where it does not."""
        objective = self.world.scenario.objectives[name]
        found = self.rows[-1][objective.figure] if self.rows else math.nan
        if objective.max is not None and found > objective.max:
            return f"{objective.figure} is {found:g}, above {objective.max:g}"
        if objective.min is not None and found < objective.min:
            return f"{objective.figure} is {found:g}, below {objective.min:g}"
        return None

    @property
    def step(self) -> Nanoseconds:
        """Time between two observations."""
        return max(1, self.horizon // STEPS)

    def watch(self, progress: Any = None) -> Generator[Any, Any, None]:
        """The observing process: one row a step; the last one is the caller's, at the horizon."""
        env, ordinal, steps_of_a_window = self.world.env, 0, STEPS // self.windows
        while True:
            if ordinal % steps_of_a_window == 0 and ordinal < STEPS:
                for histogram in {id(histogram): histogram for histogram in self.histograms.values()}.values():
                    histogram.new_window()
            yield env.timeout(self.step)
            ordinal += 1
            self.observe(env._now)
            if progress is not None:
                progress(env._now, self.puts)

    @property
    def puts(self) -> int:
        """Keys created and new versions written so far."""
        return sum(counts.created + counts.updated for counts in self.by_writer)

    def observe(self, now: Nanoseconds) -> None:
        """Take everything that has happened by `now`, and note a row."""
        world, backend, histograms = self.world, self.world.backend, self.histograms
        for storm in world.storms.values():
            storm.settle(now)
        backend.advance(now)
        _, latencies, executions, codes = backend.applied.take(now)
        histograms["etcd.apply_seconds"].record(latencies)
        histograms["etcd.apply_execution_seconds"].record(executions)
        if len(latencies) >= _ENOUGH:
            backend.tail.threshold = int(np.partition(latencies, rank := int(_TAIL_QUANTILE * len(latencies)))[rank])
        self._count(codes)
        while backend.revoked and backend.revoked[0][0] <= now:
            at, writer, count = backend.revoked.popleft()
            self.by_writer[writer].deleted += count
            self.revision += at != self._revoked  # a row a writer, one revision a revoke
            self._revoked = at
        saves = self._saves(now)
        histograms["etcd.wal_fsync_seconds"].record(saves)
        for name, journal in (
            ("etcd.compaction_seconds", backend.compactions),
            ("etcd.compaction_pause_seconds", backend.turns),
        ):
            histograms[name].record(journal.take(now)[1])
        self._commits(now)
        if world.watching is not None:
            _forget(world.watching.watchers.slow, now)
        removed = backend.removed.take(now)[1]
        if len(removed):
            self._removed += int(removed.sum())
        _forget(backend.database, now)
        for latencies_of in world.latencies:
            requests, others = latencies_of.rest_requests.take(), latencies_of.other_requests.take()
            if len(requests):
                histograms["rest_client.request_seconds"].record(requests)
                histograms["apiserver.request_seconds"].record(requests - 2 * latencies_of.to_client)
            if len(others):
                histograms["apiserver.request_seconds"].record(others - 2 * latencies_of.to_client)
            histograms["rest_client.rate_limiter_seconds"].record(latencies_of.limiter_waits.take())
            histograms["etcd.request_seconds"].record(latencies_of.etcd_requests.take())
        histograms["etcd.commit_seconds"].record(world.leader.commit_waits.take())
        histograms["etcd.request_seconds"].record(world.client_latencies.take())
        for storm in world.storms.values():
            histograms["etcd.request_seconds"].record(storm.tally.answers.take(now)[1])
            histograms["etcd.request_seconds"].record(storm.tally.failures.take())
        for reads in world.entrances.served:
            histograms["etcd.read_seconds"].record(reads.durations.take())
        for name, gate in world.entrances.gates.items():
            gate.replica.applied.take(now)
            histograms[f"members.{name}.apply_lag_seconds"].record(gate.replica.behind.take())
        histograms["etcd.list_seconds"].record(world.list_durations.take())
        for gateway in world.gateways:
            histograms["apiserver.seat_wait_seconds"].record(gateway.latencies.seat_waits.take())
            histograms["apiserver.admission_seconds"].record(gateway.latencies.admissions.take())
        for hub in world.hubs:
            histograms["watch.lag_seconds"].record(hub.lags.take())
        for tally in (*(controller.writes for controller in world.controllers), *world.writes.values()):
            histograms["writes.change_seconds"].record(tally.seconds.take())
        for controller in world.controllers:
            for figure, samples in (("queue_seconds", controller.queue_seconds), ("work_seconds", controller.work_seconds)):
                values = samples.take()
                both, own = histograms[f"workqueue.{figure}"], histograms[f"controllers.{controller.name}.{figure}"]
                both.record(values)
                if own is not both:
                    own.record(values)
        self._row(now, latencies, saves)
        if self.scraper is not None:
            self.scraper.scrape(now, {**self.rows[-1], **self._scraped()}, histograms)

    def _scraped(self) -> dict[str, float]:
        """What alert rules may look at beside a row of the series."""
        world = self.world
        clients = [client for of_one in world.clients.values() for client in of_one]
        doubled = 2 if world.scenario.etcd.release < WAL_COUNTED_ONCE else 1
        return {
            "etcd_disk_wal_write_bytes_total": world.leader.log.written * doubled,
            "etcd.quota_bytes": float(world.scenario.etcd.quota or 0),
            "etcd.proposals_failed": world.leader.deadlines.failed,
            "workqueue.adds": sum(controller.adds for controller in world.controllers),
            "workqueue.retries": sum(controller.retries for controller in world.controllers),
            "controller.reconciles": sum(controller.tally.reconciles for controller in world.controllers),
            "controller.errors": sum(controller.tally.errors for controller in world.controllers),
            "rest_client.requests": sum(client.requests for client in clients),
            "cache.zero_values_seen": sum(controller.zero_values_seen for controller in world.controllers),
        }

    def _saves(self, now: Nanoseconds) -> NDArray[np.int64]:
        """Durations of the saves of whoever led; those of all members go to their own histograms."""
        lead, histograms = self.world.leader, self.histograms
        for name, member in self.world.members.items():
            histograms[f"members.{name}.wal_fsync_seconds"].record(member.saves.take(now)[1])
            member.log.written += member.files.observe(member.log.written, lead.log.index)
        times, durations = lead.saves.take(now)
        ends = [*(begins for begins, _ in lead.led[1:]), now + 1]
        for (begins, name), end in zip(lead.led, ends, strict=True):
            if end > self._observed and len(times):
                histograms[f"members.{name}.wal_fsync_seconds"].record(durations[(times >= begins) & (times < end)])
        self._observed = now
        lead.trim()
        return durations

    def _commits(self, now: Nanoseconds) -> None:
        """Backend commits of whoever led; the other members have theirs beside."""
        world, backend = self.world, self.world.backend
        ends, durations = backend.commits.take(now)
        if not len(ends):
            return
        pages = np.array(backend.commit_pages[: len(ends)], dtype=np.int64)
        del backend.commit_pages[: len(ends)]
        self.histograms["etcd.backend_commit_seconds"].record(durations)
        begins, led = ends - durations, world.leader.led
        leads = np.searchsorted([at for at, _ in led], ends, side="right") - 1
        for name, member in world.members.items():
            own = np.array([leader == name for _, leader in led])[leads]
            histogram = self.histograms[f"members.{name}.backend_commit_seconds"]
            histogram.record(durations[own])
            page_write = world.scenario.etcd.costs.page_write
            histogram.record(member.commit_times(begins[~own], pages[~own], page_write))

    def _count(self, codes: NDArray[np.int64]) -> None:
        if not len(codes):
            return
        counts = np.bincount(codes, minlength=len(self.by_writer) * CODES).reshape(-1, CODES)
        for writer, row in zip(self.by_writer, counts.tolist(), strict=True):
            writer.created += row[Outcome.CREATED]
            writer.updated += row[Outcome.UPDATED]
            writer.deleted += row[Outcome.DELETED]
            writer.conflicts += row[Outcome.CONFLICT]
            self.revision += row[Outcome.CREATED] + row[Outcome.UPDATED] + row[Outcome.DELETED]

    @property
    def keys_live(self) -> int:
        """Live keys by now."""
        return self._keys + sum(counts.created - counts.deleted for counts in self.by_writer)

    @property
    def retained(self) -> int:
        """Revisions in the file by now, live and dead."""
        added = sum(counts.created + counts.updated + counts.deleted for counts in self.by_writer)
        return self._retained + added - self._removed

    def _row(self, now: Nanoseconds, latencies: NDArray[np.int64], saves: NDArray[np.int64]) -> None:
        world = self.world
        p50, p99, top = _quantiles(latencies)
        created = updated = deleted = 0
        for counts in self.by_writer:
            created += counts.created
            updated += counts.updated
            deleted += counts.deleted
        self.rows.append(
            {
                "seconds": now / SECOND,
                "etcd.keys_live": self._keys + created - deleted,
                "etcd.keys_created": created,
                "etcd.puts": created + updated,
                "etcd.revision": self.revision,
                "etcd.revisions_retained": self._retained + created + updated + deleted - self._removed,
                "etcd.wal_bytes_written": world.leader.log.written,
                "etcd.wal_bytes_on_disk": world.leader.member.files.on_disk,
                "etcd.db_bytes_total": world.backend.database.value_at(now, 0),
                "etcd.db_bytes_in_use": world.backend.database.value_at(now, 1),
                "etcd.apply_seconds.p50": p50,
                "etcd.apply_seconds.p99": p99,
                "etcd.apply_seconds.max": top,
                "etcd.wal_fsync_seconds.p99": _quantiles(saves)[1],
                "workqueue.depth": sum(controller.depth for controller in world.controllers),
                "workqueue.unfinished_seconds": sum(controller.unfinished(now) for controller in world.controllers),
                "workqueue.longest_running_seconds": max(
                    (controller.longest_running(now) for controller in world.controllers), default=0.0
                ),
                "controller.failing_keys": sum(len(controller.tally.failing) for controller in world.controllers),
                "informer.degenerate_keys": sum(part.degenerate_keys for part in world.informers),
                "informer.objects_lost": sum(part.objects_lost for part in world.informers),
                "cache.zero_value_keys": sum(controller.cache.zero_values for controller in world.controllers),
                **self._watchers(now),
                **{f"guards.{name}.rate_per_second": limiter.rate for name, limiter in world.guards.limiters.items()},
                **{f"guards.{name}.state": max(one.state for one in same) for name, same in world.guards.breakers.items()},
                **{f"guards.{name}.invalid_share": same[0].invalid_share for name, same in world.guards.breakers.items()},
            }
        )


    def _watchers(self, now: Nanoseconds) -> dict[str, float]:
        if self.world.watching is None:
            return {}
        watchers = self.world.watching.watchers
        return {"etcd.slow_watchers": watchers.slow.value_at(now, 0), "etcd.watch_pending_events": watchers.pending(now)}


def _forget(journal: Journal, now: Nanoseconds) -> None:
    """Drop what is past; the newest value stays readable."""
    journal.take(now)


def _quantiles(durations: NDArray[np.int64]) -> tuple[float, float, float]:
    """p50, p99 and maximum in seconds; nan without samples."""
    if not len(durations):
        return math.nan, math.nan, math.nan
    ranked = np.sort(durations)
    p50, p99, top = (int(ranked[min(int(q * len(ranked)), len(ranked) - 1)]) for q in (0.5, 0.99, 1.0))
    return p50 / SECOND, p99 / SECOND, top / SECOND
