"""Operations per second with credits: what AWS says of gp2, and what a run on such a disk shows."""

from __future__ import annotations

import pytest

from sim.hardware.disk import Disk, SharedFile, SharedLog, Stalls
from sim.hardware.iops import Iops
from sim.scenario import load_profile
from sim.scenario.model import from_dict
from sim.simulation import run_variant
from sim.units import MINUTE, SECOND


def test_credits_of_gp2_last_as_long_as_aws_says() -> None:
    """5.4 million credits, a burst of 3,000 a second, a baseline of 100: 5.4e6 / (3000 - 100) s, 31 minutes; then 100 a second."""
    iops = Iops(baseline=100, burst=3000, credits=5.4e6, io_bytes=4096)
    now = count = 0
    while True:
        begins = iops.take(now, 100 * 4096)
        if begins > now + SECOND // 20:
            break
        now, count = begins, count + 100
    assert now / SECOND == pytest.approx(5.4e6 / 2900, rel=0.001)
    assert count / (now / SECOND) == pytest.approx(3000, rel=0.001)
    now = began = iops.take(now, 4096)  # the last hundred are let through
    for _ in range(500):
        now = iops.take(now, 4096)
    assert (now - began) / SECOND == pytest.approx(5, rel=0.01)


def test_unused_operations_are_saved_up_to_the_limit() -> None:
    iops = Iops(baseline=100, burst=1000, credits=50)
    iops.left = 0
    assert iops.take(10 * MINUTE, 1) == 10 * MINUTE
    assert iops.left == 49


def test_an_operation_is_so_many_neighbouring_bytes() -> None:
    iops = Iops(baseline=100, burst=100, credits=0, io_bytes=4096)
    assert iops.take(0, 3 * 4096 + 1) == SECOND * 4 // 100


def test_a_log_waits_for_the_fdatasync_of_the_backend_that_is_in_flight() -> None:
    beside = SharedFile(lambda: 100, 1e9, Stalls())
    log = SharedLog(lambda: 10, 1e9, Stalls(), beside)
    caught_up: list[int] = []
    log.catch_up = caught_up.append
    assert beside.sync(1000, 0) == 1100
    assert beside.sync(1100, 0) == 1200
    assert log.sync(900, 0) == 910  # computed ahead, and not in flight yet
    assert log.sync(1050, 0) == 1110
    assert log.sync(1150, 0) == 1210
    assert log.sync(1200, 0) == 1210
    assert caught_up == [900, 1050, 1150, 1200]
    assert Disk(lambda: 10, 1e9, Stalls()).sync(1050, 0) == 1060  # on a device of its own


def fsyncs(disk: object, horizon: str = "60s") -> tuple[float, float]:
    """Writes a second of a client that does not think, and the longest fdatasync, seconds."""
    scenario = from_dict(
        {
            "horizon": horizon,
            "etcd": {"members": {"a": {"disk": disk}}, "compaction": {"by": "never"}},
            "apiservers": {},
            "clients": {"load": {"clients": 1, "value_bytes": 64}},
        }
    )
    run = run_variant(scenario, "default")
    writes = run.metrics["etcd.puts"]
    assert writes is not None
    return writes / (scenario.horizon / SECOND), run.distributions["etcd.wal_fsync_seconds"].max_seconds


def test_a_volume_without_credits_bounds_the_writes() -> None:
    """One operation a save, three a commit of three fdatasyncs' worth: nine commits a second and a half."""
    disk = {"fdatasync": "100us", "bandwidth": "1GB/s"}
    free, _ = fsyncs(disk, "5s")
    assert free > 1500
    slow, _ = fsyncs({**disk, "iops": {"baseline": "200/s", "burst": "1000/s", "credits": 2000}}, "30s")
    assert slow == pytest.approx(200 + 2000 / 30 - 2 * 9, rel=0.05)  # what is earned and saved up, less two a commit


def test_a_device_freezes_by_itself_in_time() -> None:
    disk = {"fdatasync": "1ms", "stalls": {"every": "exp(10s)", "for": "300ms"}}
    _, longest = fsyncs(disk)
    assert longest >= 0.3
    assert fsyncs({"fdatasync": "1ms"})[1] < 0.02


@pytest.mark.parametrize("name", ["gp2", "pd-ssd"])
def test_cloud_volumes_have_their_limits(name: str) -> None:
    allowed = load_profile(name).iops
    assert allowed is not None
    assert allowed.baseline < (allowed.burst or allowed.baseline) or not allowed.credits
