"""`etcdsim rare`: what a stall does to the worst of a run, and that without it the same worlds are calm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.analysis import Interval
from sim.cli import main
from sim.scenario import Scenario, dump, from_dict
from sim.sweeps.rare import rare
from sim.sweeps.store import Store


def stalling() -> Scenario:
    """The disk of the backend stands still for 300 ms, once in a run of four seconds; a commit holds the lock meanwhile."""
    return from_dict(
        {
            "name": "stalling",
            "horizon": "4s",
            "machines": {"box": {"disks": {"log": {"profile": "nvme"}, "data": {"profile": "nvme"}}}},
            "etcd": {"members": {"a": {"machine": "box", "backend": "data"}}, "compaction": {"by": "never"}, "quota": "off"},
            "clients": {"load": {"clients": 4, "think": "10ms"}},
            "faults": {"stall": {"kind": "disk_stall", "target": "machines.box.disks.data", "at": "2s", "for": "300ms"}},
        }
    )


def test_with_and_without_the_stall(tmp_path: Path) -> None:
    with Store(tmp_path / "s", create=True) as store:
        declared, without = rare(stalling(), store, 0.1, 6, workers=1)
        assert (declared.worlds, without.worlds) == (6, 6)
    for one in (declared, without):
        assert isinstance(one.worst, Interval)
        assert isinstance(one.passing, Interval)
    assert isinstance(declared.worst, Interval)
    assert isinstance(without.worst, Interval)
    assert declared.worst.low > 0.15
    assert without.worst.high < 0.05
    assert isinstance(declared.passing, Interval)
    assert isinstance(without.passing, Interval)
    assert declared.passing.estimate == 1.0
    assert declared.passing.low == pytest.approx(0.025 ** (1 / 6))  # Clopper-Pearson: six of six
    assert (without.passing.estimate, without.passing.low) == (0.0, 0.0)
    assert declared.per_day.everything.estimate == pytest.approx(86_400 / 4)  # one episode a run, however many requests waited
    assert without.per_day.everything.estimate == 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stalling.yaml"
    path.write_text(dump(stalling()))
    command = ["rare", str(path), "--beyond", "100ms", "--replications", "3", "--workers", "1", "-o", str(tmp_path / "store")]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = [(row["variant"], row["declared_stalls"], row["worlds"]) for row in found["rows"]]
    assert told == [("default", True, 3), ("default", False, 3)]
    assert [row["probability_of_passing"]["estimate"] for row in found["rows"]] == [1, 0]
    assert "6 are needed" in found["rows"][0]["apply_seconds.max"]["why"]  # the median of three worlds
    assert main(command) == 0
    out, _ = capsys.readouterr()
    assert "3 worlds of 4s, etcd.apply_seconds beyond 100 ms" in out
    assert "without" in out
    for wrong, said in (("0s", "it has to be above 0"), ("soon", '"soon"')):
        assert main(["rare", str(path), "--beyond", wrong]) == 2
        err = capsys.readouterr().err
        assert err.startswith("etcdsim: --beyond: ")
        assert said in err


