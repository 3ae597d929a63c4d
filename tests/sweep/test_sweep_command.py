"""`etcdsim sweep` and `etcdsim results`: killed and gone on with, shared, interrupted, refused."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sweep_help import CONTROLLER, QPS, finish, here, rows_of, start

from sim.cli import main
from sim.sweeps.keys import model_version

VARY = ["--vary", f"{QPS}=2,5,50", "--replications", "3"]
RUNS = 3 * 3 * 2


def count(store: Path, table: str = "runs") -> int:
    """Rows of a table of the ledger; 0 before there is one."""
    try:
        with sqlite3.connect(f"file:{store}/ledger.sqlite?mode=rw", uri=True, timeout=30) as ledger:
            found: int = ledger.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return found
    except sqlite3.OperationalError:
        return 0


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(of: int) -> list[int]:
    """The processes that a process has started."""
    with open(f"/proc/{of}/task/{of}/children", encoding="ascii") as file:
        return [int(number) for number in file.read().split()]


def is_running(number: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    try:
        with open(f"/proc/{number}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep, by one worker."""
    from sweep_help import tiny

    from sim.scenario import dump

    folder = tmp_path_factory.mktemp("once")
    (folder / "blink.yaml").write_text(dump(tiny()))
    code, out, err = here("sweep", folder / "blink.yaml", *VARY, "-o", folder / "store", "--workers", "1", "--json")
    assert code == 0, err
    assert f"{RUNS} runs simulated, 0 already there, 0 failed" in err
    (folder / "printed.json").write_text(out)
    return folder / "store"


def printed(store: Path, *options: str) -> str:
    code, out, err = here("results", store, *options)
    assert code == 0, err
    return out


def test_the_same_bytes_by_two_workers_and_in_another_order(once: Path, blink_file: Path, tmp_path: Path) -> None:
    code, out, err = here("sweep", blink_file, *VARY, "-o", tmp_path / "two", "--workers", "2", "--json")
    assert code == 0, err
    assert out == (once.parent / "printed.json").read_text() == printed(once, "--json")
    # the points of the first sweep are run before, in the other order, by one that asks for less
    part = ["--vary", f"{QPS}=50,2", "--replications", "2", "-o", tmp_path / "parts", "--workers", "1"]
    assert here("sweep", blink_file, *part)[0] == 0
    code, out, err = here("sweep", blink_file, *VARY, "-o", tmp_path / "parts", "--workers", "2", "--json")
    assert (code, out) == (0, printed(once, "--json"))
    assert "10 runs simulated, 8 already there" in err
    for name in ("wall", str(tmp_path), os.uname().nodename):
        assert name not in out or len(name) < 4


def test_rows_have_a_fixed_order(once: Path) -> None:
    found = rows_of(once)
    names = [(row["point"], row["variant"], row["replication"]) for row in found["rows"]]
    assert names == [(point, variant, at) for point in range(3) for variant in ("leaking", "fixed") for at in range(3)]
    assert [row["values"] for row in found["rows"]][::6] == [{QPS: 2}, {QPS: 5}, {QPS: 50}]
    assert [one["path"] for one in found["without_effect"]] == [QPS]
    assert found["without_effect"][0]["variants"] == ["fixed"]
    assert found["sweeps"][0]["model"] == model_version()
    chosen = json.loads(printed(once, "--json", "--figure", "etcd.puts"))
    assert all(list(row["metrics"]) == ["etcd.puts"] for row in chosen["rows"])
    assert {one["figure"] for one in chosen["differences"]} == {"etcd.puts"}


def test_the_table_for_people(once: Path) -> None:
    table = printed(once, "--figure", "etcd.puts", "--figure", "etcd.seconds_to_quota")
    assert "blink: " in table or "zero-value-leak-small" in table
    assert f"{RUNS} of {RUNS} runs" in table
    assert "fixed - leaking" in table
    assert f"no effect in fixed: {QPS} (2, 5, 50)" in table
    assert max(map(len, table.splitlines())) <= 100


def test_killed_and_started_again(once: Path, blink_file: Path, tmp_path: Path) -> None:
    """Some kills at different moments: nothing that was stored is run again, and in the end all is the same."""
    store = tmp_path / "store"
    stored = 0
    for goal in (1, 4, 9):
        process = start("sweep", blink_file, *VARY, "-o", store, "--workers", "2")
        until(lambda goal=goal: count(store) >= goal)  # type: ignore[misc]
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        until(lambda workers=workers: not any(map(is_running, workers)), 20)  # type: ignore[misc]
        assert count(store) >= max(stored, goal)
        stored = count(store)
    assert stored < RUNS
    code, out, err = finish(start("sweep", blink_file, *VARY, "-o", store, "--workers", "2", "--json"))
    assert code == 0, err
    assert f"{RUNS - stored} runs simulated, {stored} already there, 0 failed" in err
    assert out == printed(once, "--json")
    assert count(store, "claims") == 0
    assert list((store / "owners").iterdir()) == []


def test_two_at_once_share_the_work(once: Path, blink_file: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    both = [start("sweep", blink_file, *VARY, "-o", store, "--workers", "1", "--json") for _ in range(2)]
    third = ["--vary", f"{CONTROLLER}.workers=1,400", "--replications", "1", "-o", store, "--workers", "1"]
    other = start("sweep", blink_file, *third)
    ended = [finish(process) for process in both]
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert finish(other)[0] == 0
    simulated = [int(err.split("etcdsim: ")[-1].split(" runs simulated")[0]) for _, _, err in ended]
    assert sum(simulated) == RUNS  # nothing twice, and both waited for what the other had
    assert min(simulated) > 0
    assert ended[0][1] == ended[1][1] == printed(once, "--json")
    assert count(store) == RUNS + 4
    assert len(rows_of(store)["sweeps"]) == 2
    assert count(store, "claims") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_it_has(blink_file: Path, tmp_path: Path, number: int) -> None:
    store = tmp_path / "store"
    process = start("sweep", blink_file, *VARY, "-o", store, "--workers", "2")
    until(lambda: count(store) >= 2)
    workers = children(process.pid)
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (130, "")
    assert "interrupted after" in err
    assert "start again to go on" in err
    assert not any(map(is_running, workers))
    assert count(store) >= 2
    assert count(store, "claims") == 0
    assert f"{count(store)} already there" in here("sweep", blink_file, *VARY, "-o", store, "--dry-run")[1]


def test_a_failing_point_is_exit_code_1(blink_file: Path, tmp_path: Path) -> None:
    lease = f"{CONTROLLER}.election.lease_duration"
    options = ["--replications", "1", "-o", tmp_path / "s", "--workers", "1", "--json"]
    command = ["sweep", blink_file, "--vary", f"{lease}=15s,5s", *options]
    code, out, err = here(*command)
    assert code == 1
    assert "point 1 cannot be simulated: " in err
    assert "1 of 2 points cannot be simulated" in err
    found = json.loads(out)
    assert {row["point"] for row in found["rows"]} == {0}
    (failure,) = found["failures"]
    assert (failure["point"], failure["values"], failure["variant"]) == (1, {lease: "5s"}, None)
    assert here(*command)[0] == 1  # and nothing is repeated


def test_dry_run(once: Path, blink_file: Path, tmp_path: Path) -> None:
    code, out, _ = here("sweep", blink_file, *VARY, "-o", tmp_path / "s", "--dry-run", "--workers", "2")
    assert code == 0
    assert "3 points x 2 variants x 3 replications: 18 runs\n0 already there, 18 to do\nabout " in out
    assert "from the first run" in out
    assert not (tmp_path / "s").exists()
    more = [*VARY[:-1], "4"]
    code, out, _ = here("sweep", blink_file, *more, "-o", once, "--dry-run", "--json")
    found = json.loads(out)
    assert (found["runs"], found["present"], found["missing"], found["from"]) == (24, 18, 6, "runs in the store")
    assert found["seconds"] > 0


def test_a_study_file_and_options_over_it(blink_file: Path, tmp_path: Path) -> None:
    study: dict[str, Any] = {
        "scenario": "./blink.yaml", "over": {QPS: [2, 50]}, "replications": 4, "variants": ["leaking"], "figures": ["etcd.puts"],
        "set": {"horizon": "2s"},
    }  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(study))
    command = ["sweep", path, "-o", tmp_path / "s", "--workers", "1", "--json"]
    code, out, err = here(*command, "--replications", "1", "--vary", f"{CONTROLLER}.workers=3", "--set", "etcd.quota=4GiB")
    assert code == 0, err
    found = json.loads(out)
    assert found["sweeps"][0]["name"] == "mine"
    assert [(row["values"], row["variant"]) for row in found["rows"]] == [
        ({QPS: qps, f"{CONTROLLER}.workers": 3}, "leaking") for qps in (2, 50)
    ]


def test_the_study_that_comes_with_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "limiter-sweep", "--dry-run", "--set", "horizon=2s", "-o", str(tmp_path / "s")]) == 0
    assert "9 points x 2 variants x 2 replications: 36 runs" in capsys.readouterr().out


# ---- refusals

MISTAKES: list[tuple[list[str], str]] = [
    (["sweep"], "STUDY|SCENARIO"),
    (["sweep", "zero-value-leak-small"], "nothing is varied"),
    (["sweep", "zero-value-leak-smal", "--vary", "a=1"], 'did you mean "zero-value-leak-small"'),
    (["sweep", "zero-value-leak-small", "--vary", "a"], "is not a knob"),
    (["sweep", "zero-value-leak-small", "--vary", f"{QPS}="], "an empty range"),
    (["sweep", "zero-value-leak-small", "--vary", f"{QPS}=log(9,1,3)"], "an empty range"),
    (["sweep", "zero-value-leak-small", "--vary", "etcd.qota=1,2"], 'did you mean "quota"'),
    (["sweep", "zero-value-leak-small", "--vary", f"{QPS}=1", "--replications", "0"], 'replications: "0"'),
    (["sweep", "zero-value-leak-small", "--vary", f"{QPS}=1", "--design", "lhs"], "samples: missing"),
    (["sweep", "zero-value-leak-small", "--vary", f"{QPS}=1", "--workers", "0"], "--workers"),
    (["sweep", "zero-value-leak-small", "--vary", f"{QPS}=1", "--figure", "etcd.x"], "no run reports"),
    (["sweep", "zero-value-leak-small", "--vary", f"{QPS}=1", "--variant", "x"], "not a declared variant"),
    (["sweep", "./nothing.yaml", "--vary", f"{QPS}=1"], "no such file"),
    (["results", "nothing"], "is not a store"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES)
def test_mistakes_are_one_line(arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                               capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ({"scenario": "zero-value-leak-small", "ovr": {}, "over": {QPS: [1]}}, 'did you mean "over"'),
        ({"over": {QPS: [1]}}, "scenario: missing"),
        ({"scenario": "zero-value-leak-small", "over": [1]}, "over: "),
        ({"scenario": "zero-value-leak-small", "over": {QPS: [1]}, "variants": 5}, 'variants: "5" is not a list of names'),
        ({"scenario": "zero-value-leak-small", "points": {QPS: 1}}, "points: "),
        ({"scenario": "zero-value-leak-small", "over": {QPS: [1]}, "replications": "many"}, 'replications: "many"'),
    ],
)
def test_mistakes_in_a_study(study: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    assert main(["sweep", str(path), "-o", str(tmp_path / "s")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_stores_that_are_none(once: Path, blink_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", str(blink_file), *VARY, "-o"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    assert main([*command, str(tmp_path / "full")]) == 2
    assert "is not empty and not a store" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "no" / "where")]) == 2
    assert "there is no directory" in capsys.readouterr().err
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "ledger.sqlite").write_text("not a database, though long enough to look like one" * 9)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with sqlite3.connect(foreign / "ledger.sqlite") as other:
        other.execute("CREATE TABLE mine (x)")
    for name in ("text", "foreign"):
        assert main([*command, str(tmp_path / name)]) == 2
        assert "is not a ledger of etcdsim" in capsys.readouterr().err
        assert main(["results", str(tmp_path / name)]) == 2
        assert "is not a ledger of etcdsim" in capsys.readouterr().err


def test_a_store_of_another_version(tmp_path: Path, blink_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert main(["sweep", str(blink_file), "--vary", f"{QPS}=5", "--replications", "1", "-o", str(store), "--workers", "1"]) == 0
    with sqlite3.connect(store / "ledger.sqlite") as ledger:
        ledger.execute("PRAGMA user_version = 2")
    capsys.readouterr()
    for arguments in (["results", str(store)], ["sweep", str(blink_file), *VARY, "-o", str(store)]):
        assert main(arguments) == 2
        assert "schema version 2 is not 1, the one this etcdsim reads" in capsys.readouterr().err


def test_runs_of_another_model_are_not_mixed_in(once: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    subprocess.run(["cp", "-r", str(once), str(store)], check=True)
    with sqlite3.connect(store / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE sweeps SET model = 'older'")
        ledger.execute("UPDATE cells SET key = 'old-' || key")
        ledger.execute("UPDATE runs SET key = 'old-' || key, model = 'older'")
    assert len(json.loads(printed(store, "--json"))["rows"]) == RUNS  # alone, they are shown
    blink = str(once.parent / "blink.yaml")
    arguments = ["sweep", blink, "--vary", f"{QPS}=5", "--replications", "1", "-o", str(store), "--workers", "1"]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(["results", str(store), "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["rows"]) == 2
    assert "runs of another model version are not shown: older" in err
