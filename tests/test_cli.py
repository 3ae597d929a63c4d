"""The command line: what is printed where, exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from own_process import COMMAND, OwnProcess

import sim.simulation
from sim.cli import main
from sim.result import Runs
from sim.scenario import load

SCENARIO = "zero-value-leak-small"


@pytest.fixture(scope="module")
def minute() -> Runs:
    """One real minute of the leak."""
    return sim.simulation.run(load(SCENARIO, set={"horizon": "1m"}), workers=1)


@pytest.fixture
def simulated(minute: Runs, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command asks of the simulation, which answers at once with that minute."""
    asked: list[dict[str, Any]] = []

    def answer(scenario: object, **options: Any) -> Runs:
        asked.append({"scenario": scenario, **options})
        made = {name: minute[name] for name in options["variants"] or minute}
        return Runs(minute.scenario, options["seed"], made, wall_seconds=1.5)

    monkeypatch.setattr(sim.simulation, "run", answer)
    return asked


def test_run_prints_the_table(simulated: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", SCENARIO]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(SCENARIO)
    assert re.search(r"etcd\.keys_created +\d", out)
    assert "Who did it" in out
    assert err == ""


def test_run_json_is_one_object_and_nothing_else(simulated: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", SCENARIO, "--json", "--seed", "7", "--variant", "fixed", "--variant", "fixed"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["seed"], list(found["variants"])) == (1, 7, ["fixed"])
    assert found["wall_seconds"] == 1.5


def test_options_reach_the_simulation(simulated: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    controller = next(iter(load(SCENARIO).controllers))
    options = ["--set", f"controllers.{controller}.client.qps=20", "--set", "etcd.quota=8GiB", "--horizon", "10m", "--workers", "3"]
    assert main(["run", SCENARIO, *options, "--seed", "5"]) == 0
    (asked,) = simulated
    assert asked["scenario"].horizon == 600 * 10**9
    assert asked["scenario"].etcd.quota == 8 * 2**30
    assert asked["scenario"].controllers[controller].client.qps == 20
    assert (asked["seed"], asked["workers"], asked["variants"]) == (5, 3, None)


def test_out_saves_and_the_saved_result_can_be_compared(
    simulated: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["run", SCENARIO, "-o", str(first), "--json"]) == 0
    out, err = capsys.readouterr()
    json.loads(out)
    assert err == f"etcdsim: saved in {first}\n"
    assert main(["run", SCENARIO, "--out", str(second)]) == 0
    capsys.readouterr()
    assert main(["compare", str(first), str(second)]) == 0
    assert "same" in capsys.readouterr().out
    assert main(["compare", str(first), str(second), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] == []
    assert set(found["variants"]) == {"leaking", "fixed"}


def test_compare_names_what_only_one_of_them_has(
    simulated: list[dict[str, Any]], minute: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Not that it is empty in the other."""
    first, second = tmp_path / "first", tmp_path / "second"
    shares = "apiservers.api.flow_control.workload-low.shares"
    assert main(["run", SCENARIO, "-o", str(first)]) == 0
    changed = Runs(load(SCENARIO, set={"horizon": "1m", shares: 5}), 1, dict(minute), wall_seconds=1.5)
    monkeypatch.setattr(sim.simulation, "run", lambda *_, **__: changed)
    assert main(["run", SCENARIO, "-o", str(second)]) == 0
    capsys.readouterr()
    assert main(["compare", str(first), str(second), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == [{"path": shares, "first": None, "second": 5}]


LEVELS = "apiservers.api.flow_control"

MISTAKES: list[tuple[list[str], str]] = [
    (["nothing"], "nothing"),
    (["run"], "SCENARIO"),
    (["run", "nothing"], '"nothing" is not a scenario'),
    (["run", "./nothing.yaml"], "nothing.yaml"),
    (["run", SCENARIO, "--nothing"], "--nothing"),
    (["run", SCENARIO, "--seed", "x"], "'x' is not a valid whole number"),
    (["run", SCENARIO, "--seed", "-1"], "-1"),
    (["run", SCENARIO, "--workers", "0"], "0 is not in the range"),
    (["run", SCENARIO, "--variant", "leakin"], 'has no "leakin"; allowed: leaking, fixed; did you mean "leaking"?'),
    (["run", SCENARIO, "--set", "etcd.qouta=8GiB"], "etcd.qouta"),
    (["run", SCENARIO, "--set", "etcd.quota"], "path=value"),
    (["run", SCENARIO, "--set", "etcd.quota=8 gigs"], "etcd.quota"),
    (["run", SCENARIO, "--set", "etcd.members={}"], "etcd.members"),
    (["run", SCENARIO, "--set", f"{LEVELS}.workload-lo.shares=5"], 'workload-lo: unknown key; did you mean "workload-low"?\n'),
    (["run", SCENARIO, "--set", f"{LEVELS}.workload-low.share=5"], 'workload-low.share: unknown key; did you mean "shares"?'),
    (["run", SCENARIO, "--set", f"{LEVELS}.workload-low.shares=null"], f"{LEVELS}.workload-low: is not there\n"),
    (["run", SCENARIO, "--set", "webhooks.g.timeout=5s"], "webhooks.g: is not there; write it whole: webhooks.g={timeout: 5s}\n"),
    (["run", SCENARIO, "--set", "webhooks.g={timeout: 5s}"], "webhooks.g.match: missing; it is required (and 1 more)\n"),
    (["run", SCENARIO, "--horizon", "soon"], "horizon"),
    (["run", SCENARIO, "--horizon", "0s"], "horizon"),
    (["show", "nothing"], "nothing"),
    (["show", SCENARIO, "--variant", "nothing"], "nothing"),
    (["check", "nothing.yaml"], "nothing.yaml"),
    (["compare", "nothing", "nowhere"], "nothing is not a directory"),
    (["compare", ".", "."], "summary.json"),
    (["probe-disk"], "DIRECTORY"),
    (["probe-disk", "nothing"], "nothing is not a directory"),
    (["probe-disk", ".", "-o", "disk.txt"], "ends in .yaml"),
    (["probe-disk", ".", "--samples", "1"], "1 is not in the range"),
    (["conform"], "FILE"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sim.simulation, "run", lambda *_, **__: pytest.fail("simulated in spite of a mistake"))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"etcdsim: [^\n]+\n", err)
    assert said in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "said"), [("there", "exists"), ("no/where", "there is no directory"), ("file/x", "there is no directory")]
)
def test_an_out_that_cannot_be_written_is_refused_before_the_run(
    target: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(sim.simulation, "run", lambda *_, **__: pytest.fail("simulated in vain"))
    assert main(["run", SCENARIO, "-o", str(tmp_path / target)]) == 2
    assert said in capsys.readouterr().err


def test_a_parent_that_is_not_writable_is_refused_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(sim.simulation, "run", lambda *_, **__: pytest.fail("simulated in vain"))
    assert main(["run", SCENARIO, "-o", str(tmp_path / "x")]) == 2
    assert "is not writable: Permission denied" in capsys.readouterr().err


def test_scenarios_show_check_and_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios"]) == 0
    assert SCENARIO in capsys.readouterr().out
    assert main(["scenarios", "--json"]) == 0
    assert SCENARIO in [row["name"] for row in json.loads(capsys.readouterr().out)["scenarios"]]

    assert main(["show", SCENARIO, "--set", "etcd.quota=8GiB"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^ +quota: 8GiB$", shown, flags=re.MULTILINE)
    path = tmp_path / "mine.yaml"
    path.write_text(shown)
    assert main(["check", str(path)]) == 0
    assert "is valid" in capsys.readouterr().out
    assert load(path).etcd.quota == 8 * 2**30, "what show prints is a scenario"

    assert main(["show", SCENARIO, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == SCENARIO
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "object"


def test_check_refuses_a_file_with_a_wrong_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {SCENARIO}\nobjectives: {{x: {{figure: etcd.key_live, max: 1}}}}\n")
    assert main(["check", str(path)]) == 2
    assert 'did you mean "etcd.keys_live"' in capsys.readouterr().err


def test_metrics_lists_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["figures"]}
    wal = rows["etcd.wal_bytes_written"]
    assert (wal["unit"], wal["prometheus"]["type"]) == ("bytes", "gauge")
    assert "twice" in wal["prometheus"]["quirk"]
    assert rows["etcd.apply_seconds"]["suffixes"] == ["p50", "p90", "p99", "p999", "max", "mean", "count"]
    assert main(["metrics"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "etcd_disk_wal_write_bytes_total, gauge" in out


def test_probe_disk_writes_a_profile_that_a_run_takes(
    simulated: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    probe = ["probe-disk", ".", "--samples", "20", "-o", "my-disk.yaml"]
    assert main(probe) == 0
    out = capsys.readouterr().out
    assert re.search(r"p50 +p90 +p99 +p99\.9 +max", out)
    option = re.search(r"--set (\S+)", out)
    assert option is not None
    assert option[1] == "etcd.members.a.disk=./my-disk.yaml"
    assert main(["run", SCENARIO, "--set", option[1]]) == 0
    assert "20 writes" in str(simulated[0]["scenario"].etcd.members["a"].disk)

    before = Path("my-disk.yaml").read_bytes()
    capsys.readouterr()
    assert main(probe) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("my-disk.yaml").read_bytes() == before
    assert main([*probe, "--force", "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == ["my-disk.yaml"]


def test_conform_names_the_first_difference(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = pytest.importorskip("sim.conform.replay")
    wrong = module.Difference("b.jsonl", 3, 5, "get", "key", "x", "y")
    monkeypatch.setattr(module, "replay", lambda path: wrong if path == "b.jsonl" else None)
    assert main(["conform", "a.jsonl"]) == 0
    assert capsys.readouterr().out == "a.jsonl: identical\n"
    assert main(["conform", "a.jsonl", "b.jsonl"]) == 1
    assert "b.jsonl:3" in capsys.readouterr().out
    assert main(["conform", "a.jsonl", "b.jsonl", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["traces"]
    assert [row["identical"] for row in rows] == [True, False]


@pytest.mark.parametrize(
    "command", ["", "run", "compare", "scenarios", "show", "check", "schema", "metrics", "probe-disk", "conform"]
)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert "Usage: etcdsim" in capsys.readouterr().out


def test_bare_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "probe-disk" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("etcdsim")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from sim.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "click" in imported
    assert not imported & {"numpy", "pandas", "rich", "simpy", "pydantic", "matplotlib"}


def test_ctrl_c_says_what_was_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(scenario: object, *, progress: Any, **_: Any) -> None:
        progress(sim.simulation.Progress("leaking", 60 * 10**9, 3600 * 10**9, 500, 1.0))
        raise KeyboardInterrupt

    monkeypatch.setattr(sim.simulation, "run", interrupted)
    assert main(["run", SCENARIO, "-o", str(tmp_path / "x")]) == 130
    assert capsys.readouterr().err == "etcdsim: interrupted at 0h01m00s of 1h (leaking); nothing was kept\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_real_run_ends_at_once(how: signal.Signals, tmp_path: Path) -> None:
    """Its workers, too, even where it is killed: they hold the pipes that are read to their end here."""
    arguments = ["run", "zero-value-leak", "--horizon", "20d", "-o", str(tmp_path / "x")]
    process = OwnProcess(*arguments)
    try:
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(how)
        out, err = process.communicate(timeout=120)  # the run itself would take half an hour
    finally:
        process.kill()
    if how is signal.SIGKILL:
        assert (process.returncode, out, err) == (-signal.SIGKILL, "", "")
    else:
        assert (process.returncode, out) == (130, "")
        assert re.fullmatch(r"etcdsim: interrupted( .*; nothing was kept)?\n", err)  # on a busy machine it has not begun yet
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, "schema"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")
    process = OwnProcess("metrics", first=lambda: os.dup2(write, 1))
    assert (process.communicate(), process.returncode) == (("", ""), 141)
    os.close(write)


def test_progress_is_shown_on_a_terminal_only() -> None:
    ours, theirs = os.openpty()
    command = [*COMMAND, "run", SCENARIO, "--horizon", "6m", "--json"]
    terminal = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=terminal)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # Linux's way to say that the other end is closed
        pass
    assert process.stdout is not None
    assert json.loads(process.stdout.read())["horizon_seconds"] == 360
    assert process.wait() == 0
    assert re.search(rb"leaking.* of 6m.* writes/s", seen)


def test_show_says_what_a_stack_resolves_to_and_stays_a_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "zero-value-leak", "--set", "controllers.zero-pod-writer.stack=controller-runtime-0.15"]) == 0
    shown = capsys.readouterr().out
    assert "#   client.qps: 20/s   (controller-runtime v0.15.3 pkg/client/config/config.go" in shown
    assert "#   fifo: delta" in shown
    assert "#   queue.kind: rate_limiting" in shown
    assert main(["show", "zero-value-leak", "--set", "controllers.zero-pod-writer.client.qps=7"]) == 0
    given = capsys.readouterr().out
    assert "#   client.qps: 7/s   (given here)" in given
    written = tmp_path / "shown.yaml"
    written.write_text(given)
    assert main(["check", str(written)]) == 0


STACKS = """\
horizon: 1m
etcd: {members: {a: {}}}
informers: {pods: {resync: 5m, fifo: real}, nodes: {resync: never}}
controllers:
  shares: {informers: [pods, nodes], stack: controller-runtime-0.18, election: {lease_duration: 1m}}
  alone:
    stack: controller-runtime-0.18
    leader_election: false
    watches: {pods: {streaming_list: true, resync: 1h}, nodes: {streaming_list: false}}
    queue: {limiter: {kind: with_max_wait, max: 1m, limiter: {kind: bucket}}}
  slow:
    stack: controller-runtime-0.18
    election: {lease_duration: 1m, renew_deadline: 50s, retry_period: 9s, release_on_cancel: true}
"""


def test_show_says_what_is_given_and_what_the_stack_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STACKS)
    assert main(["show", str(path)]) == 0
    lines = [line.removeprefix("#   ") for line in capsys.readouterr().out.splitlines() if line.startswith("# ")]
    starts = [number for number, line in enumerate(lines) if line.startswith("# controllers.")]
    shares, alone, slow = ("\n".join(lines[begin:end]) for begin, end in zip(starts, [*starts[1:], None], strict=True))
    limiters = "[{kind: exponential, base: 5ms, max: 16m40s}, {kind: bucket, rate: 10/s, burst: 100}]"
    assert f"queue.limiter: {{kind: max_of, limiters: {limiters}}}   (controller-runtime v0.18.7" in shares
    assert "leader election: 1m / 10s / 2s   (lease_duration given here; controller-runtime v0.18.7" in shares
    assert "release_on_cancel: off   (controller-runtime v0.18.7" in shares
    assert "\n  of informers.pods: real   (given here)\nresync: 10h   (controller-runtime" in shares
    assert "\n  of informers.pods: 5m   (given here)\n  of informers.nodes: never   (given here)\n" in shares
    assert "of informers" not in alone
    assert "\n  of watches.pods: 1h   (given here)\nstreaming_list: off" in alone
    assert "\n  of watches.pods: on   (given here)\n  of watches.nodes: off   (given here)\n" in alone
    assert "lock: none   (given here)\nleader election: off   (given here)" in alone
    assert "queue.limiter: {kind: with_max_wait, limiter: {kind: bucket, rate: 10/s, burst: 100}, max: 1m}   (given here)" in alone
    assert "leader election: 1m / 50s / 9s   (given here)\nrelease_on_cancel: on   (given here)" in slow
