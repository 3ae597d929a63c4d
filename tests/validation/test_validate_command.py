"""`etcdsim validate` without an etcd: options, mistakes, the JSON, the table, what is saved; interleaving, retries, clean-up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from validation.test_compare import MS_BOUNDS, inputs, measured

from sim.cli import main
from sim.errors import InputError
from sim.scenario.load_test import LoadTest
from sim.validation import fit as fitting
from sim.validation import inputs as probing
from sim.validation import measurement, server
from sim.validation.measure import Measured
from sim.validation.scrape import Buckets


@pytest.fixture
def etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that would be real answers at once; what was done, in order."""
    done: list[str] = []

    class Cluster:
        leader = None

        def __init__(self, etcd: Path, members: int, place: Path, flags: Sequence[str] = ()):
            assert place.is_dir()
            done.extend(flags)

        def __enter__(self) -> Cluster:
            done.append("start")
            return self

        def __exit__(self, *_: object) -> None:
            done.append("stop")

    def measure(cluster: Cluster, load: LoadTest, seed: int, folder: Path) -> Measured:
        done.append(load.name)
        more = {"etcd.revision": 201.0 + seed, "etcd.db_bytes_total": 3e5}
        more |= {"etcd.request_seconds.p50": 0.0006, "etcd.request_seconds.p90": 0.0009, "etcd.writes_per_batch": 1.3}
        found = measured(200 + seed, 900.0 + seed, load, **more)
        found.buckets["etcd.apply_execution_seconds"] = Buckets(tuple(b / 10 for b in MS_BOUNDS), (200.0, *[0.0] * 14), 0.005)
        found.shares["others"] = 0.5 if done.count(load.name) == 1 else 0.0
        return found

    monkeypatch.setattr(measurement, "Cluster", Cluster)
    monkeypatch.setattr(measurement, "measure", measure)
    monkeypatch.setattr(measurement, "reads", lambda *_: np.full(100, 90_000))
    monkeypatch.setattr(fitting, "_ROUNDS", 1)
    monkeypatch.setattr(fitting, "_KNOBS", ("save",))
    monkeypatch.setattr(fitting, "_REQUESTS", 100)
    monkeypatch.setattr(fitting, "_SHORTEST", 0.1)
    monkeypatch.setattr(probing, "probe", lambda *_: profile())
    monkeypatch.setattr(probing, "_ping_pong", lambda: np.full(10, 30_000))
    monkeypatch.setattr(measurement, "check_place", lambda place, members: None)
    monkeypatch.setattr(server, "version_of", lambda path: "3.5.1")
    monkeypatch.setattr(server, "find_etcd", lambda path: tmp_path / "etcd")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return done


def profile() -> dict[str, Any]:
    return {"fdatasync": {"quantiles": {0: "80us", 0.5: "150us", 1: "300us"}}, "bandwidth": "1GB/s"}


PROBES = ["p-c1-1k", "p-c64-1k", "p-c12-1k", "p-c16-8k", "p-r300-1k", "p-c8-txn", "p-c4-list"]


def run(tmp_path: Path, *options: str) -> int:
    path = tmp_path / "mine.yaml"
    flags = ["--snapshot-count=7000", "--max-snapshots=3"]
    path.write_text(json.dumps({"rate": 100, "seconds": 1, "warmup_seconds": 0.2, "value_bytes": 64, "flags": flags}))
    return main(["validate", "--workload", str(path), "--workload", "c8-256b", "--seconds", "1s", *options])


def test_the_json_is_what_others_rely_on(etcd: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["etcd_version"] == "3.5.1"
    assert found["machine"]["cores"] >= 1
    for row in found["rows"]:
        assert list(row)[:6] == ["workload", "figure", "predicted", "measured", "error", "noise"]
        assert row["held_out"] == (row["workload"] not in PROBES)
    assert {row["workload"] for row in found["rows"]} == {*PROBES, "mine", "c8-256b"}
    for errors in found["summary"].values():
        assert list(errors)[:3] == ["median_error", "worst_error", "worst_at"]
    assert set(found["summary"]) <= {row["figure"] for row in found["rows"]}
    assert all(one["from"] for one in found["inputs"]["1"].values())
    assert set(found["fits"]["1"]["misfit"]) == set(PROBES)
    assert found["workloads"]["mine"]["load"]["rate"] == 100
    assert "mine: --max-snapshots=3 acts on the real etcd only; the simulator has no field for it" in found["remarks"]


def test_rounds_are_interleaved_and_every_cluster_ends(etcd: list[str], tmp_path: Path) -> None:
    assert run(tmp_path, "--json") == 0
    loads = [what for what in etcd if what not in ("start", "stop") and not what.startswith("--")]
    assert loads == [*PROBES, "mine", "c8-256b"] * 2
    assert etcd.count("--max-snapshots=3") == 2
    assert etcd.count("start") == etcd.count("stop") == 2 * 10  # and one a round for the reads
    assert not list(tmp_path.glob("etcdsim-validate-*"))


def test_disturbed_runs_are_repeated_while_there_are_retries(
    etcd: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--json", "--retries", "1") == 0
    assert [etcd.count(name) for name in (*PROBES, "mine", "c8-256b")] == [3, 2, 2, 2, 2, 2, 2, 2, 2]
    err = capsys.readouterr().err
    assert "others 0.50; again" in err
    assert "warning: others used up to 0.50 cores" in err  # the others' first rounds stay


def test_the_table_fits_100_columns(etcd: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for said in (
        "etcd 3.5.1 against etcdsim", "(probe: the inputs were fitted to", "predicted", "noise",
        "etcd.wal_fsync_seconds.within_1ms", "etcd.costs.entry", "generator 0.10", "Over all workloads that were held out", "goal",
    ):  # fmt: skip
        assert said in text


def test_everything_is_saved(etcd: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(tmp_path, "-o", str(out), "--json") == 0
    assert json.loads((out / "validation.json").read_text()) == json.loads(capsys.readouterr().out)
    assert (out / "measurement.json").is_file()
    details = json.loads((out / "rounds.json").read_text())["mine"]
    assert len(details["rounds"]) == 2
    fsync = details["histograms"]["etcd.wal_fsync_seconds"]
    assert len(fsync["predicted"]) == len(fsync["measured"][0]) == len(fsync["upper_seconds"]) + 1
    assert len(list((out / "scrapes").iterdir())) == 9 * 2 * 2
    assert "| `etcd.requests_per_second` |" in (out / "validation.md").read_text()
    assert not list(tmp_path.glob(".out*"))
    assert run(tmp_path, "-o", str(out)) == 2
    assert "exists; name a new directory" in capsys.readouterr().err


def test_a_kept_measurement_is_predicted_again(etcd: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an etcd: the same predictions from the same measurement; a part of it, with another cost, others."""
    out = tmp_path / "out"
    assert run(tmp_path, "-o", str(out), "--json") == 0
    first = json.loads(capsys.readouterr().out)
    etcd.clear()
    assert main(["validate", "--measured", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert main(["validate", "--measured", str(out), "--workload", "mine", "--set", "etcd.batch_interval=10ms", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {row["workload"] for row in again["rows"] if row["held_out"]} == {"mine"}
    assert {row["figure"]: row["predicted"] for row in again["rows"]} != {row["figure"]: row["predicted"] for row in first["rows"]}
    assert etcd == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["absent"], "etcdsim: --measured: absent: no such measurement; a file, a directory, or one of etcd-3.5.1"),
        (["{}/other.json"], "other.json is not a measurement of `etcdsim validate`, schema version 1"),
        (["{}/text"], "text: not JSON"),
        (["{}/broken.json"], "broken.json: KeyError in it: 'etcd_version'"),
        (["{}/other.json", "--rounds", "2"], "etcdsim: --rounds is about measuring; with --measured nothing is measured"),
    ],
)
def test_a_measurement_that_cannot_be_read_is_one_line(
    options: Sequence[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("other.json", "{}"), ("text", "text"), ("broken.json", '{"schema_version": 1, "probes": {}}')):
        (tmp_path / name).write_text(text)
    assert main(["validate", "--measured", *(option.format(tmp_path) for option in options)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workload", "c1-2k"], 'etcdsim: "c1-2k" is not a workload of a suite'),
        (["--workload", "/absent.json"], "etcdsim: /absent.json: no such file"),
        (["--workload", "c8-256b", "--workload", "c8-256b"], 'etcdsim: two workloads are called "c8-256b"'),
        (["--suite", "slow"], "'slow' is not one of 'quick', 'full'"),
        (["--seconds", "soon"], 'etcdsim: --seconds: "soon" is not a duration'),
        (["--seconds", "1h"], "etcdsim: --seconds: 1h is not between 1s and 600s"),
        (["--patience", "-1s"], "etcdsim: --patience:"),
        (["--rounds", "0"], "0 is not in the range"),
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

    monkeypatch.setattr(measurement, "measure", fail)
    out = tmp_path / "out"
    assert run(tmp_path, "-o", str(out)) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    said = capsys.readouterr().err.splitlines()[-1]
    assert ("nothing was kept" if isinstance(error, KeyboardInterrupt) else "no space left on device") in said
    assert etcd.count("start") == etcd.count("stop") > 0
    assert not out.exists()
    assert not list(tmp_path.glob("etcdsim-validate-*"))


def test_probes_of_a_disk_go_together() -> None:
    """Two probes of a disk are one law: each as likely."""
    slow = {**profile(), "fdatasync": {"quantiles": {0: "1ms", 1: "1ms"}}}
    law = probing._together([profile(), slow]).fdatasync.model_dump(mode="json")
    assert [part["weight"] for part in law["mixture"]] == [0.5, 0.5]
    found = inputs()
    assert found.plain()["etcd.members.*.disk"]["value"]["fdatasync"] == "200us"


def test_real_probes_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_SAMPLES", 30)
    monkeypatch.setattr(probing, "_PINGS", 50)
    probes = probing.Probes(tmp_path)
    probes.once()
    probes.read(3, np.full(10, 100_000), np.full(10, 150_000))
    found = probes.inputs(3)
    assert found.peer_rtt > 0
    assert (set(found.client.values()), set(found.sparse.values())) == ({100_000}, {150_000})
    assert list(tmp_path.iterdir()) == []
