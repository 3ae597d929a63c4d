"""The time to the quota follows the growth that was seen: straight, quadratic, or none."""

from __future__ import annotations

import numpy as np
import pytest

from sim.summary import time_to_grow

TIMES = np.arange(45.0, 86_445.0, 45.0)


@pytest.mark.parametrize(
    ("size", "by", "left"),
    [
        (1e6 + 100 * TIMES, 1e6, 1e4),
        (2e-1 * TIMES**2, 2e-1 * (100_000**2 - TIMES[-1] ** 2), 100_000 - TIMES[-1]),
        (1e6 + 0 * TIMES, 1e6, None),
        (1e6 + 4096 * (TIMES > 80_000), 2e9, None),
        (1e6 * np.log(TIMES), 1e6, 1e6 / (1e6 * np.log(TIMES[-1] / TIMES[-481]) / (480 * 45))),
    ],
    ids=["straight", "quadratic", "none", "a page", "slowing down: the last quarter goes on"],
)
def test_time_to_grow(size, by, left):
    assert time_to_grow(TIMES, size, by) == (None if left is None else pytest.approx(left, rel=0.01))


def test_a_leak_that_is_cut_short_predicts_when_the_whole_one_ends(leak):
    """The small leak at 36 and 72 minutes, with a quota that it reaches between: the extrapolation against what then happens."""
    reached = leak(change={"etcd.quota": "33MB", "horizon": "72m"})
    assert reached.status["etcd.seconds_to_quota"] == "reached"
    half = leak(change={"etcd.quota": "33MB", "horizon": "36m"})
    assert half.status["etcd.seconds_to_quota"] == "extrapolated"
    truth = reached.metrics["etcd.seconds_to_quota"]
    assert half.metrics["etcd.seconds_to_quota"] == pytest.approx(truth, rel=0.08)
