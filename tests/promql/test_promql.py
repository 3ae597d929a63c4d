"""PromQL on scrapes: known answers, as Prometheus computes them; and what is not supported is refused by its name."""

from __future__ import annotations

import math

import pytest

from sim.errors import InputError
from sim.promql.alerts import AlertRule
from sim.promql.evaluate import Scrapes, bucket_quantile, evaluate
from sim.promql.metrics import METRICS
from sim.promql.syntax import parse

COUNTER, GAUGE = "etcd_mvcc_put_total", "workqueue_depth"
FSYNC = "etcd_disk_wal_fsync_duration_seconds"
WRONG = "etcd_disk_backend_fsync_duration_seconds"


def scraped(values: list[float], every: float = 300.0, name: str = COUNTER) -> Scrapes:
    """One metric, its first sample at 0."""
    scrapes = Scrapes()
    for ordinal, value in enumerate(values):
        scrapes.add(ordinal * every, {(name, ""): [value]})
    return scrapes


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # promql/promqltest/testdata/functions.test: load 5m, http_requests 0+10x10, at 50m
        (f"increase({COUNTER}[50m])", 100.0),
        (f"increase({COUNTER}[100m])", 100.0),  # a counter began at zero: not extrapolated beyond
        (f"rate({COUNTER}[50m])", 100 / 3000),
        (f"irate({COUNTER}[50m])", 10 / 300),
        (f"deriv({COUNTER}[50m])", 10 / 300),
        (f"predict_linear({COUNTER}[50m], 3600)", 100 + 120),
        (f"avg_over_time({COUNTER}[15m])", 90.0),
        (f"max_over_time({COUNTER}[15m]) - min_over_time({COUNTER}[15m])", 20.0),
        (f"2 + 3 * {COUNTER} / -5", -58.0),
        (f"({COUNTER} > 50) + 1", 101.0),
        (f"{COUNTER} > 50 and {COUNTER} < 60", None),
        (f"{COUNTER} > 500 or {COUNTER} >= 100", 100.0),
        (f"sum by (le) (rate({COUNTER}[50m])) * 60", 2.0),
        (f"{COUNTER} != 100", None),
        (f"{COUNTER} == 100", 100.0),
        ("1 / 0", math.inf),
    ],
)
def test_known_answers(expression: str, expected: float | None) -> None:
    found = evaluate(parse(expression), scraped([10.0 * step for step in range(11)]), 3000.0)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_counter_that_begins_anew_is_no_fall_and_a_gauge_is() -> None:
    values = [0.0, 30.0, 60.0, 5.0, 35.0]
    assert evaluate(parse(f"increase({COUNTER}[20m])"), scraped(values), 1200.0) == pytest.approx((35 - 30 + 60) * 1200 / 900)
    assert evaluate(parse(f"delta({GAUGE}[20m])"), scraped(values, name=GAUGE), 1200.0) == pytest.approx(5 * 1200 / 900)


def test_a_range_leaves_out_its_left_edge_and_needs_two_samples() -> None:
    scrapes = scraped([0.0, 10.0, 20.0])
    assert evaluate(parse(f"rate({COUNTER}[5m])"), scrapes, 600.0) is None
    assert evaluate(parse(f"rate({COUNTER}[301s])"), scrapes, 600.0) is not None


def test_a_sample_that_is_too_old_is_none() -> None:
    assert evaluate(parse(COUNTER), scraped([1.0]), 299.0) == 1.0
    assert evaluate(parse(COUNTER), scraped([1.0]), 301.0) is None


def test_a_quantile_is_linear_inside_its_bucket() -> None:
    metric = METRICS[FSYNC]
    assert metric.bounds[:3] == (0.001, 0.002, 0.004)
    counts = [0.0, 50.0, 100.0, *([100.0] * 12)]
    assert bucket_quantile(0.5, metric, counts) == pytest.approx(0.002)
    assert bucket_quantile(0.75, metric, counts) == pytest.approx(0.003)
    assert bucket_quantile(0.99, metric, [*([0.0] * 14), 100.0]) == metric.bounds[-1]  # all beyond the last bound
    assert math.isnan(bucket_quantile(0.99, metric, [0.0] * 15))


def test_a_quantile_over_a_rate_sees_only_its_range() -> None:
    scrapes = Scrapes()
    fast, slow = [100.0] * 15, [0.0] * 9 + [100.0] * 6
    total = [0.0] * 15
    for minute in range(11):
        total = [a + b for a, b in zip(total, slow if minute > 5 else fast, strict=True)]
        scrapes.add(60.0 * minute, {(FSYNC, "bucket"): total})
    rule = parse(f"histogram_quantile(0.99, rate({FSYNC}_bucket[3m])) > 0.25")
    assert evaluate(rule, scrapes, 300.0) is None
    assert evaluate(rule, scrapes, 600.0) == pytest.approx(0.256 + 0.256 * 0.99)


def test_an_alert_waits_fires_and_counts_its_lead() -> None:
    rule = AlertRule("a", parse(f"{GAUGE} > 5"), 120.0, parse(f"{GAUGE} > 100"))
    scrapes = Scrapes()
    began = []
    for step, depth in enumerate([0, 9, 9, 0, 9, 9, 9, 9, 200, 0]):
        scrapes.add(60.0 * step, {(GAUGE, ""): [float(depth)]})
        if rule.look(scrapes, 60.0 * step):
            began.append(60.0 * step)
    assert began == rule.fired == [360.0]  # the first two minutes were interrupted
    assert rule.firing_seconds == 540.0 - 360.0
    assert (rule.broken_at, rule.lead_seconds) == (480.0, 120.0)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "is empty"),
        (f"histogram_quantile(0.99, rate({WRONG}_bucket[5m])) > 0.5", "etcd_disk_wal_fsync_duration_seconds"),
        (f"histogram_quantile(0.99, rate({WRONG}_bucket[5m])) > 0.5", "etcd_disk_backend_commit_duration_seconds"),
        ("rate(redis_zeroval_keys_total[15m]) > 5", "another store"),
        ("workqueue_depht > 1", 'did you mean "workqueue_depth"?'),
        (f"topk(3, {GAUGE})", "topk(...) is not supported"),
        (f"{GAUGE} > bool 1", '"bool" is not supported'),
        (f"{GAUGE} unless {GAUGE}", '"unless" is not supported'),
        (f"{GAUGE} offset 5m", '"offset" is not supported'),
        (f'{GAUGE}{{name="x"}} > 1', "label matchers are not supported"),
        (f"{GAUGE}[5m] > 1", "is a range"),
        (f"rate({COUNTER}) > 1", "missing its range"),
        (f"rate({COUNTER}[5x]) > 1", "is not a range"),
        (f"rate({COUNTER}[0m]) > 1", "is not a range"),
        (f"{FSYNC} > 1", "is a histogram"),
        (f"{FSYNC}_bucket > 1", "is many series"),
        (f"histogram_quantile(0.99, rate({COUNTER}[5m]))", "histogram_quantile(...): write"),
        (f"sum by (pod) ({GAUGE})", "sum by (pod) is not supported"),
        (f"{GAUGE} >", "ends too early"),
        (f"({GAUGE} > 1", 'expected ")"'),
        (f"{GAUGE} ~ 3", "is not PromQL"),
        (f"predict_linear({COUNTER}[5m], 1 / 0)", "division by zero"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(expression: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        parse(expression)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
