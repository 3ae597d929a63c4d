"""What a lost segment costs."""

from __future__ import annotations

import pytest

from sim.hardware.link import one_way
from sim.streams import Streams
from sim.units import MILLISECOND


def test_a_lost_segment_is_sent_again_after_200_ms_and_then_600() -> None:
    draw = one_way(2 * MILLISECOND, 0, Streams(3)("link"), 0.1)
    times = [draw() for _ in range(100_000)]
    shares = {time: times.count(time) / len(times) for time in sorted(set(times))}
    assert list(shares)[:3] == [(1 + wait) * MILLISECOND for wait in (0, 200, 600)]
    assert list(shares.values())[:3] == [pytest.approx(share, rel=0.15) for share in (0.9, 0.09, 0.009)]


def test_a_link_that_loses_nothing_draws_as_before() -> None:
    plain, lossless = (one_way(MILLISECOND, MILLISECOND, Streams(3)("link"), loss) for loss in (0.0, 0))
    assert [plain() for _ in range(100)] == [lossless() for _ in range(100)]


def test_a_loss_shifts_no_other_draw() -> None:
    """One uniform a message, whatever the share: variants meet the same jitter where nothing is lost."""
    plain, lossy = (one_way(MILLISECOND, MILLISECOND, Streams(3)("link"), loss) for loss in (0.0, 0.01))
    pairs = [(plain(), lossy()) for _ in range(2000)]
    assert sum(abs(one - other) < MILLISECOND // 5 for one, other in pairs) > 1900
