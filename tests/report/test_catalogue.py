"""Every figure has a description; names with owners and suffixes are understood."""

from __future__ import annotations

import pytest

from sim.metrics.catalogue import SUFFIXES, base, catalogue, describe, order
from sim.scenario import load
from sim.simulation import run_variant

DESIGN = [
    "etcd.keys_created", "etcd.keys_created_per_hour", "etcd.keys_live", "etcd.puts", "etcd.deletes", "etcd.revision",
    "etcd.revisions_retained", "etcd.wal_bytes_written", "etcd.wal_fsyncs", "etcd.wal_fsync_seconds.p99",
    "etcd.db_bytes_total", "etcd.db_bytes_in_use", "etcd.seconds_to_quota", "etcd.backend_commit_seconds.p50",
    "etcd.apply_seconds.max", "etcd.apply_execution_seconds.mean", "etcd.commit_seconds.p999",
    "etcd.compaction_seconds.count", "etcd.proposals_failed", "etcd.leader_changes", "etcd.request_seconds.p90",
    "apiserver.request_seconds.p99", "apiserver.conflicts", "apiserver.rejected", "watch.lag_seconds.p99",
    "watch.events_sent", "rest_client.request_seconds.p99", "rest_client.rate_limiter_seconds.p99",
    "rest_client.requests", "workqueue.depth.max", "workqueue.queue_seconds.p99", "workqueue.work_seconds.p99",
    "workqueue.retries", "workqueue.dropped", "controller.reconciles", "controller.errors", "cache.zero_value_keys",
]  # fmt: skip
"""The names that others rely on."""


@pytest.mark.parametrize("name", DESIGN)
def test_the_names_that_others_rely_on_are_described(name: str) -> None:
    found = describe(name)
    assert found is not None
    assert found.name == name
    assert found.unit
    assert found.meaning


@pytest.mark.parametrize("name", ["etcd.keys", "etcd.puts.p99", "etcd.apply_seconds.p42", "members.a.x", "writers.x", "", "."])
def test_what_no_run_reports_is_not_described(name: str) -> None:
    assert describe(name) is None


@pytest.mark.parametrize(
    ("name", "kind", "unit"),
    [
        ("members.a.wal_fsync_seconds.p99", "distribution", "seconds"),
        ("members.a.wal_fsync_seconds.count", "distribution", "samples"),
        ("controllers.zero-pod-writer.workqueue.depth.max", "gauge", "items"),
        ("controllers.x.queue_seconds.p50", "distribution", "seconds"),
        ("writers.with.dots.puts", "counter", "puts"),
        ("writers.x.apply_tail_share", "gauge", "share"),
    ],
)
def test_owners_and_suffixes(name: str, kind: str, unit: str) -> None:
    found = describe(name)
    assert found is not None
    assert (found.name, found.kind, found.unit) == (name, kind, unit)


def test_units_in_names_are_the_units() -> None:
    for figure in catalogue():
        if "seconds" in figure.name:
            assert figure.unit == "seconds", figure.name
        if "bytes" in figure.name:
            assert figure.unit == "bytes", figure.name
        assert figure.kind != "distribution" or figure.name.endswith("_seconds"), figure.name


def test_a_gauge_that_is_called_total_says_so() -> None:
    for figure in catalogue():
        real = figure.prometheus
        if real is not None and real.type == "gauge" and real.name.endswith("_total"):
            assert "gauge" in real.quirk or figure.name == real.name, figure.name


def test_names_are_listed_once_and_sort_in_the_order_of_the_list() -> None:
    repeated = ("members.", "controllers.", "workloads.", "alerts.", "guards.")
    names = [figure.name for figure in catalogue() if not figure.name.startswith(repeated)]
    assert len(set(names)) == len(names)
    plain = [name for name in names if not name.startswith(("writers.", "objects."))]
    assert sorted(set(plain), key=order) == plain
    suffixed = [f"etcd.apply_seconds.{suffix}" for suffix in SUFFIXES["distribution"]]
    assert [name.rpartition(".")[2] for name in sorted(set(suffixed), key=order)] == list(SUFFIXES["distribution"])
    assert order("never.heard.of")[0] > order(plain[-1])[0]


def test_the_base_of_a_name() -> None:
    assert base("etcd.apply_seconds.p99") == "etcd.apply_seconds"
    assert base("etcd.keys_live") == "etcd.keys_live"
    assert base("unknown.p99") == "unknown.p99"


def test_every_figure_of_a_run_is_described() -> None:
    scenario = load("zero-value-leak-small")
    run = run_variant(scenario, scenario.variant_names()[0], seed=1, horizon=60 * 10**9)
    names = [*run.metrics, *run.series.columns, *run.distributions, *run.windows, *run.status]
    names += [f"writers.{writer}.{figure}" for writer, figures in run.writers.items() for figure in figures]
    assert len(names) > 100
    assert [name for name in names if describe(name) is None] == []
