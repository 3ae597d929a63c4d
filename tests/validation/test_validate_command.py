"""`etcdsim validate` without an etcd: options, mistakes, the JSON, the table, what is saved; interleaving, retries, clean-up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from validation.test_compare import MS_BOUNDS, inputs, measured

from sim.cli import etcdsim, main
from sim.cli.validate import validate
from sim.errors import InputError
from sim.validation import inputs as probing
from sim.validation import server, suite
from sim.validation.measure import Measured
from sim.validation.scrape import Buckets
from sim.validation.workload import Workload


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, whether or not it is registered yet."""
    if "validate" not in etcdsim.commands:
        monkeypatch.setitem(etcdsim.commands, "validate", validate)


@pytest.fixture
def etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that would be real answers at once; what was done, in order."""
    done: list[str] = []

    class Cluster:
        leader = None

        def __init__(self, etcd: Path, members: int, place: Path):
            assert place.is_dir()

        def __enter__(self) -> Cluster:
            done.append("start")
            return self

        def __exit__(self, *_: object) -> None:
            done.append("stop")

    def measure(cluster: Cluster, workload: Workload, seconds: float, seed: int, folder: Path) -> Measured:
        done.append(workload.name)
        found = measured(200 + seed, 200.0 + seed, workload, **{"etcd.revision": 201.0 + seed, "etcd.db_bytes_total": 3e5})
        found.buckets["etcd.apply_execution_seconds"] = Buckets(tuple(b / 10 for b in MS_BOUNDS), (200.0, *[0.0] * 14), 0.005)
        found.shares["others"] = 0.5 if done.count(workload.name) == 1 else 0.0
        return found

    monkeypatch.setattr(suite, "Cluster", Cluster)
    monkeypatch.setattr(suite, "measure", measure)
    monkeypatch.setattr(suite, "reads", lambda *_: np.full(100, 90_000))
    monkeypatch.setattr(probing, "_probe", lambda place, members: [profile()] * members)
    monkeypatch.setattr(probing, "_ping_pong", lambda: np.full(10, 30_000))
    monkeypatch.setattr(suite, "check_place", lambda place, members: None)
    monkeypatch.setattr(server, "version_of", lambda path: "3.5.1")
    monkeypatch.setattr(server, "find_etcd", lambda path: tmp_path / "etcd")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return done


def profile() -> dict[str, Any]:
    return {"fdatasync": {"quantiles": {0: "80us", 0.5: "150us", 1: "300us"}}, "bandwidth": "1GB/s"}


def run(*options: str) -> int:
    return main(["validate", "--for", "1s", "--rounds", "2", "--workloads", "c1-1k,r500-1k", *options])


def test_the_json_is_what_others_rely_on(etcd: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["etcd_version"] == "3.5.1"
    assert found["machine"]["cores"] >= 1
    for row in found["rows"]:
        assert list(row) == ["workload", "figure", "predicted", "measured", "error", "noise"]
    assert {row["workload"] for row in found["rows"]} == {"c1-1k", "r500-1k"}
    for errors in found["summary"].values():
        assert list(errors) == ["median_error", "worst_error"]
    assert set(found["summary"]) <= {row["figure"] for row in found["rows"]}
    assert all(one["from"] for one in found["inputs"].values())


def test_rounds_are_interleaved_and_every_cluster_ends(etcd: list[str], tmp_path: Path) -> None:
    assert run("--json") == 0
    loads = [what for what in etcd if what not in ("start", "stop")]
    assert loads == ["c1-1k", "r500-1k"] * 2
    assert etcd.count("start") == etcd.count("stop") == 6  # and one a round for the reads
    assert not list(tmp_path.glob("etcdsim-validate-*"))


def test_disturbed_runs_are_repeated_while_there_are_retries(etcd: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--retries", "1") == 0
    assert [what for what in etcd if what not in ("start", "stop")] == ["c1-1k", "c1-1k", "r500-1k", "c1-1k", "r500-1k"]
    err = capsys.readouterr().err
    assert "others used 0.50 cores; again" in err
    assert "warning: others used up to 0.50 cores" in err  # r500-1k's first round stays


def test_the_table_fits_100_columns(etcd: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--members", "3", "--set", "etcd.costs.ready=70us") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for said in (
        "etcd 3.5.1, 3 members on one machine", "predicted", "noise", "etcd.wal_fsync_seconds.within_1ms", "Over all workloads",
        "but etcd.costs.ready=70us", "3 writers at once",
    ):  # fmt: skip
        assert said in text


def test_everything_is_saved(etcd: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("-o", str(out), "--json") == 0
    assert json.loads((out / "validation.json").read_text()) == json.loads(capsys.readouterr().out)
    details = json.loads((out / "rounds.json").read_text())["c1-1k"]
    assert len(details["rounds"]) == 2
    fsync = details["histograms"]["etcd.wal_fsync_seconds"]
    assert len(fsync["predicted"]) == len(fsync["measured"][0]) == len(fsync["upper_seconds"]) + 1
    assert len(list((out / "scrapes").iterdir())) == 8
    assert not list(tmp_path.glob(".out*"))
    capsys.readouterr()
    assert run("--device", str(out / "device-a.yaml"), "--json") == 0  # what was probed can be used again
    assert "device profile" in json.loads(capsys.readouterr().out)["inputs"]["etcd.members.*.disk"]["from"]
    assert run("-o", str(out)) == 2
    assert "exists; name a new directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workloads", "c1-2k"], 'etcdsim: "c1-2k" is not a workload; did you mean "c1-1k"?'),
        (["--for", "soon"], 'etcdsim: --for: "soon" is not a duration'),
        (["--for", "1h"], "etcdsim: --for: 1h is not between 1s and 600s"),
        (["--patience", "-1s"], "etcdsim: --patience:"),
        (["--members", "2"], "'2' is not one of '1', '3'"),
        (["--rounds", "0"], "0 is not in the range"),
        (["--probe", "--device", "nvme"], "etcdsim: --probe and --device exclude each other"),
        (["--device", "nvmee"], '"nvmee" is not a known device profile; did you mean "nvme"?'),
        (["--set", "etcd.costs.redy=1us"], "etcd.costs.redy"),
        (["--data-dir", "/absent"], "etcdsim: /absent is not a directory"),
        (["--etcd", "/absent/etcd"], "etcdsim: /absent/etcd is not a program; name the etcd binary"),
    ],
)
def test_a_mistake_is_one_line(options: Sequence[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = tmp_path / "etcd"
    fake.write_text("#!/bin/sh\necho etcd Version: 3.5.1\n")
    fake.chmod(0o755)
    assert main(["validate", *([] if "--etcd" in options else ["--etcd", str(fake)]), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


def test_no_etcd_is_one_line_that_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/absent")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["validate"]) == 2
    err = capsys.readouterr().err
    assert err == f"etcdsim: {server.HOW_TO_GET}\n"


def test_a_full_disk_is_refused_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_ROOM", 1 << 60)
    with pytest.raises(InputError, match=r"GB left; 3 x .* GB are needed"):
        probing.check_place(tmp_path, 3)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("etcd ended by itself (exit code 1): no space left on device")])
def test_what_ends_a_run_ends_its_cluster(
    etcd: list[str], error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Measured:
        raise error

    monkeypatch.setattr(suite, "measure", fail)
    out = tmp_path / "out"
    assert run("-o", str(out)) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    said = capsys.readouterr().err.splitlines()[-1]
    assert ("nothing was kept" if isinstance(error, KeyboardInterrupt) else "no space left on device") in said
    assert etcd.count("start") == etcd.count("stop") > 0
    assert not out.exists()
    assert not list(tmp_path.glob("etcdsim-validate-*"))


def test_probes_go_together() -> None:
    """Two probes of a disk are one law: each as likely."""
    slow = {**profile(), "fdatasync": {"quantiles": {0: "1ms", 1: "1ms"}}}
    law = probing._together([profile(), slow]).fdatasync.model_dump(mode="json")
    assert [part["weight"] for part in law["mixture"]] == [0.5, 0.5]
    found = inputs()
    assert found.plain()["etcd.members.*.disk"]["value"] == "200us"


def test_real_probes_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_SAMPLES", 30)
    monkeypatch.setattr(probing, "_PINGS", 50)
    probes = probing.Probes(tmp_path, 3, None)
    probes.once()
    probes.read(np.full(10, 100_000))
    found = probes.inputs(60_000, {})
    assert len(found.disks) == 3
    assert found.peer_rtt > 0
    assert set(found.client.values()) == {40_000}
    assert list(tmp_path.iterdir()) == []


def test_help_names_what_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("--etcd", "--members", "--workloads", "--for", "--rounds", "--device", "--probe", "--out", "--json"):
        assert option in out
    assert isinstance(validate, click.Command)


