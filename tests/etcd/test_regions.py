"""Members in several regions: who makes the quorum, and what a lossy link costs (scenario multi-region)."""

from __future__ import annotations

import pytest

import sim


@pytest.fixture(scope="module")
def commits() -> dict[str, tuple[float, float]]:
    """Median and p99 of commits by variant, seconds."""
    runs = sim.run(sim.load("multi-region").with_({"horizon": "40s", "workloads.writes.for": "40s"}), workers=1)
    figure = "etcd.commit_seconds"
    return {name: (run.quantile(figure, 0.5), run.quantile(figure, 0.99)) for name, run in runs.items()}  # type: ignore[misc]


def test_the_nearest_member_makes_the_quorum(commits: dict[str, tuple[float, float]]) -> None:
    """A round trip of 30 ms and two saves; over the standby link 45."""
    assert commits["healthy"][0] == pytest.approx(0.032, abs=0.003)
    assert commits["standby"][0] == pytest.approx(0.047, abs=0.003)


def test_one_bad_link_is_gone_round(commits: dict[str, tuple[float, float]]) -> None:
    """The third region answers after 70 ms, whatever the second one's link loses."""
    assert commits["lossy"][0] == pytest.approx(0.072, abs=0.003)
    assert commits["lossy"][1] < 0.1
    assert commits["both-lossy"][0] > 4 * commits["lossy"][0]
    assert commits["both-lossy"][1] > 1


def test_a_switch_ends_it(commits: dict[str, tuple[float, float]]) -> None:
    """15 of 40 s without a way round: the slowest commits are those of a lossy link, most are as before."""
    assert commits["switching"][0] < 0.1
    assert commits["switching"][1] > 0.5
