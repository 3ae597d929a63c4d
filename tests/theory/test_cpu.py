"""Cores: what queueing theory knows of first come, first served on n servers, and where a member that lacks them saturates."""

from __future__ import annotations

import math

import pytest

from sim import distributions
from sim.hardware.cpu import BACK_WITHIN, PIECE, Cpu
from sim.scenario.model import from_dict
from sim.simulation import run_variant
from sim.streams import Delays, Streams
from sim.units import MICROSECOND, SECOND

WORK = 50 * MICROSECOND


def erlang_c(cores: int, load: float) -> float:
    """Probability that a customer of M/M/n waits; load: arrival rate times mean work."""
    terms = [load**k / math.factorial(k) for k in range(cores)]
    last = load**cores / math.factorial(cores) * cores / (cores - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("cores", "utilisation"), [(1, 0.5), (1, 0.8), (2, 0.8), (4, 0.9)])
def test_the_mean_wait_is_that_of_erlang(cores: int, utilisation: float) -> None:
    cpu, streams = Cpu(cores), Streams(5)
    gap = Delays(streams("gap"), distributions.exponential(WORK / (cores * utilisation))).draw
    work = Delays(streams("work"), distributions.exponential(WORK)).draw
    now = waited = 0
    customers = 400_000
    for _ in range(customers):
        now += gap()
        size = work()
        waited += cpu.run(now, size) - size - now
    expected = erlang_c(cores, cores * utilisation) * WORK / (cores * (1 - utilisation))
    assert waited / customers == pytest.approx(expected, rel=0.05)
    assert cpu.used / (cores * now) == pytest.approx(utilisation, rel=0.01)


def test_what_is_urgent_runs_at_once_and_others_wait_for_it() -> None:
    cpu = Cpu(2)
    assert cpu.run(0, 10) == 10
    assert cpu.run(0, 30) == 30
    cpu.urge(5, 7)  # on the core that would have been free at 10
    assert cpu.wait(5) == 12
    assert cpu.run(5, 4) == 21
    assert cpu.run(40, 1) == 41


def test_others_take_their_share() -> None:
    """A core that others keep busy for 60% has 40% left, however much is asked for."""
    cpu, done = Cpu(1, 0.6), 0
    now = pieces = 0
    while done < SECOND:
        now = max(now, done)
        done = cpu.run(now, PIECE)
        pieces += 1
    assert pieces * PIECE / done == pytest.approx(0.4, rel=0.01)


def busy_cores(cores: int | str | None, clients: int = 300, version: str = "3.5.33") -> float:
    """Mean number of cores at work: puts a second of clients that do not think, by what each costs.

    100 us of CPU a put, 80 us of them in parallel to others'; 50 us a turn of the loop. cores: None for a machine of its own.
    """
    costs = {"request": "80us", "request_per_kib": "0s", "ready": "50us", "entry": "5us", "apply": "15us", "apply_per_kib": "0s"}
    member = {"disk": {"fdatasync": "50us", "bandwidth": "8GB/s"}} | ({} if cores is None else {"machine": "m"})
    run = run_variant(
        from_dict(
            {
                "horizon": "500ms",
                "machines": {} if cores is None else {"m": {"cores": cores}},
                "etcd": {
                    "version": version, "quota": "off", "compaction": {"by": "never"}, "costs": costs | {"page_write": "0s"},
                    "members": {"a": member},
                },
                "apiservers": {},
                "clients": {"load": {"clients": clients, "value_bytes": 64}},
            }
        ),
        "default",
    )  # fmt: skip
    puts, batch = run.metrics["etcd.puts"], run.metrics["etcd.writes_per_batch"]
    assert puts is not None
    assert batch is not None
    return puts * 2 * (100e-6 + 50e-6 / batch)


@pytest.mark.parametrize("version", ["3.5.1", "3.5.33"])
@pytest.mark.parametrize("cores", [1, 2, 4])
def test_throughput_saturates_at_cores_over_cost(cores: int, version: str) -> None:
    """The utilisation law: CPU seconds a second are never more than the cores, and nearly as many where there is enough to do."""
    assert 0.9 * cores <= busy_cores(cores, version=version) <= 1.05 * cores  # requests on their way at the end


def test_a_machine_of_its_own_has_eight_cores() -> None:
    alone = busy_cores(None)
    assert alone == busy_cores(8)
    assert alone != busy_cores(7)


def test_who_never_meets_all_cores_busy_does_not_wait() -> None:
    assert busy_cores(64, 8) == busy_cores("off", 8)


def test_an_fdatasync_is_over_when_its_goroutine_has_a_core_again() -> None:
    """The disk takes 50 us; etcd's own histogram shows the wait for one of two cores, half of `BACK_WITHIN` on average."""
    clients = {"load": {"clients": 300, "value_bytes": 64}}
    seen = {}
    for cores in (2, "off"):
        scenario = from_dict(
            {
                "horizon": "500ms",
                "machines": {"m": {"cores": cores}},
                "etcd": {"members": {"a": {"disk": {"fdatasync": "50us"}, "machine": "m"}}, "quota": "off"},
                "apiservers": {},
                "clients": clients,
            }
        )
        seen[cores] = run_variant(scenario, "default").distributions["etcd.wal_fsync_seconds"].mean
    assert seen["off"] < 300e-6
    assert seen[2] - seen["off"] == pytest.approx(BACK_WITHIN / 2 * 1e-9, rel=0.25)
