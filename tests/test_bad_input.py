"""What a user gets wrong, end to end: one line on stderr with the path, the value and what is allowed; nothing written.

What a process of its own prints, its exit code, and the directory it leaves. The many refusals of single fields stand in
tests/scenario/test_refusals.py, the commands' own options in tests/test_cli.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from own_process import OwnProcess

SCENARIO = "zero-value-leak-small"
MINE = "extends: zero-value-leak-small\nhorizon: 1m\n"
QPS = "controllers.zero-pod-writer.client.qps"


def etcdsim(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    process = OwnProcess(*arguments, cwd=cwd, group=True)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()
        raise
    return subprocess.CompletedProcess(arguments, process.wait(), out, err)


def contents(directory: Path) -> dict[str, bytes | None]:
    """Every file and directory below, hidden ones too."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in directory.rglob("*")
    }


def refused(cwd: Path, *arguments: str) -> str:
    """What the command says on its one line, having done nothing else."""
    before = contents(cwd)
    done = etcdsim(*arguments, cwd=cwd)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    said = re.fullmatch(r"etcdsim: ([^\n]+)\n", done.stderr)
    assert said is not None, done.stderr
    assert "Traceback" not in done.stderr
    assert contents(cwd) == before
    return said[1]


FILES: dict[str, tuple[str, list[str]]] = {
    # a scenario file, and what its refusal names: path, value, what is allowed or the nearest right name
    "unknown section": (MINE + "controlers: {}\n", ["controlers: unknown key", '"controllers"']),
    "unknown key": (MINE + "etcd: {qouta: 8GiB}\n", ["etcd.qouta: unknown key", '"quota"']),
    "misspelt unit": (MINE + "etcd: {compaction: {every: 5 mins}}\n", ["etcd.compaction.every", '"5 mins"', "5m"]),
    "misspelt size": (MINE + "etcd: {quota: 8Gb}\n", ["etcd.quota", '"8Gb"', "2GiB"]),
    "negative rate": (
        MINE + "controllers: {zero-pod-writer: {client: {qps: -20/s}}}\n", [QPS, '"-20/s"', "27/s"],
    ),
    "negative interval": (
        MINE + "workloads: {pod-churn: {every: exp(-5s)}}\n", ["workloads.pod-churn.every", '"exp(-5s)"', "exp(157s)"],
    ),
    "negative count": (
        MINE + "controllers: {zero-pod-writer: {workers: -3}}\n", ["controllers.zero-pod-writer.workers", '"-3"', "whole number"],
    ),
    "no members": ("horizon: 1m\netcd: {members: {}}\n", ["etcd.members", '"{}"', "at least one member"]),
    "no such disk": (
        MINE + "etcd: {members: {a: {disk: ./my-disk.yaml}}}\n", ["etcd.members.a.disk", "./my-disk.yaml", "no such file"],
    ),
    "no such base": ("extends: ./base.yaml\n", ["./base.yaml", "no such file"]),
    "a wrong variant": (
        MINE + "variants: {slow: {etcd.netwrok.rtt: 5ms}}\n", ["variants.slow", "etcd.netwrok", '"network"'],
    ),
    "a kind that is no word": (
        MINE + "workloads: {storm: {kind: [lists], every: 5s}}\n", ["workloads.storm.kind", "[lists]", "pod_churn"],
    ),
    "not YAML": ("horizon: [1h\n", ["mine.yaml", "line", "not YAML"]),
    "a key twice": ("horizon: 1h\nhorizon: 2h\netcd: {members: {a: {}}}\n", ["mine.yaml", "horizon"]),
    "no mapping": ("- horizon\n", ["mine.yaml", "mapping"]),
    "empty": ("", ["mine.yaml"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_is_one_line(case: str, tmp_path: Path) -> None:
    written, named = FILES[case]
    (tmp_path / "mine.yaml").write_text(written)
    said = refused(tmp_path, "run", "mine.yaml", "--out", "result")
    assert [part for part in named if part not in said] == [], said


def test_check_says_what_run_says(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FILES["negative rate"][0])
    assert refused(tmp_path, "check", "mine.yaml") == refused(tmp_path, "run", "mine.yaml")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    for name in ("gone.yaml", "folder.yaml", "picture.yaml", "no/where.yaml"):
        assert name in refused(tmp_path, "run", name)


SETTINGS: dict[str, list[str]] = {
    f"{QPS}=-1": [QPS, '"-1"', "above zero", "27/s"],
    f"{QPS}=20/sec": [QPS, '"20/sec"', "27/s"],
    "horizon=-1h": ["horizon", '"-1h"', "5m"],
    "etcd.members.a.disk=./gone.yaml": ["etcd.members.a.disk", "./gone.yaml", "no such file"],
    "etcd.members.a.disk=cloud-sdd": ["etcd.members.a.disk", '"cloud-sdd"', '"cloud-ssd"'],
    "workloads.pod-chrun.every=5s": ["workloads.pod-chrun", '"pod-churn"'],
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_wrong_setting_is_one_line(setting: str, tmp_path: Path) -> None:
    said = refused(tmp_path, "run", SCENARIO, "--set", setting, "--out", "result")
    assert [part for part in SETTINGS[setting] if part not in said] == [], said


def test_an_even_number_of_members_is_warned_about_and_runs(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE + "etcd: {members: {d: {disk: cloud-ssd}}}\n")
    done = etcdsim("run", "mine.yaml", "--horizon", "10s", "--json", cwd=tmp_path)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["variants"]["leaking"]["metrics"]["members.d.wal_bytes_written"] > 0
    assert re.fullmatch(r"etcdsim: warning: etcd\.members: 4 members [^\n]+ write 3 or 5\n", done.stderr)
    checked = etcdsim("check", "mine.yaml", cwd=tmp_path)
    assert checked.returncode == 0
    assert "etcd.members: 4 members" in checked.stdout


# ---- results


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("results") / "whole"
    done = etcdsim("run", SCENARIO, "--horizon", "10s", "--out", str(directory), cwd=directory.parent)
    assert done.returncode == 0, done.stderr
    return directory


def without(key: str) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        summary = json.loads(content)
        del summary[key]
        return json.dumps(summary).encode()

    return changed


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2].rstrip()[:-1]


def empty(_content: bytes) -> bytes:
    return b""


def foreign(_content: bytes) -> bytes:
    return b'{"schema_version": 1, "hits": []}'


def newer(content: bytes) -> bytes:
    return content.replace(b'"schema_version": 1', b'"schema_version": 99')


DAMAGES = [
    pytest.param("summary.json", cut, id="half a summary"),
    pytest.param("summary.json", empty, id="an empty summary"),
    pytest.param("summary.json", foreign, id="a foreign summary"),
    pytest.param("summary.json", newer, id="a summary of another version"),
    pytest.param("summary.json", without("variants"), id="a summary without variants"),
    pytest.param("summary.json", without("seed"), id="a summary without seed"),
    pytest.param("summary.json", without("horizon_seconds"), id="a summary without horizon"),
    pytest.param("scenario.yaml", cut, id="half a scenario"),
    pytest.param("scenario.yaml", foreign, id="a foreign scenario"),
    pytest.param("scenario.yaml", None, id="no scenario"),
    pytest.param("summary.json", None, id="no summary"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_damaged_result_is_refused_by_compare(
    name: str, damage: Callable[[bytes], bytes] | None, as_json: bool, result: Path, tmp_path: Path
) -> None:
    for path in ("summary.json", "scenario.yaml", "incidents.json"):
        content = (result / path).read_bytes()
        for directory in ("whole", "damaged"):
            (tmp_path / directory).mkdir(exist_ok=True)
            (tmp_path / directory / path).write_bytes(content)
    damaged = tmp_path / "damaged" / name
    if damage is None:
        damaged.unlink()
    else:
        damaged.write_bytes(damage(damaged.read_bytes()))
    said = refused(tmp_path, "compare", "whole", "damaged", *(["--json"] if as_json else []))
    assert "damaged" in said
    assert name in said


def test_an_out_that_exists_is_left_as_it_is(result: Path) -> None:
    for target in ("whole", "whole/summary.json"):
        said = refused(result.parent, "run", SCENARIO, "--out", target)
        assert target in said
        assert "exists" in said
        assert "new directory" in said


# ---- Ctrl-C


def running(group: int) -> list[tuple[int, float]]:
    """Processes of a group that run: their id, and the CPU seconds they took."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(") ")[2].split()
        except OSError:  # gone meanwhile
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append((int(status.parent.name), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_the_whole_group(workers: int, tmp_path: Path) -> None:
    """As a terminal sends it: to every process of the run at once."""
    arguments = ["run", "zero-value-leak", "--horizon", "20d", "--out", "result", "--workers", str(workers)]
    process = OwnProcess(*arguments, cwd=tmp_path, group=True)
    try:
        # Each variant that runs is on its way then.
        until = time.monotonic() + 300
        while sum(cpu for _, cpu in running(process.pid)) < 0.5 + workers / 2 and time.monotonic() < until:
            time.sleep(0.02)
        assert process.poll() is None
        assert len(running(process.pid)) == (1 if workers == 1 else 1 + workers)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)  # the run itself would take half an hour
        left = running(process.pid)
    finally:
        if running(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (process.returncode, out) == (130, ""), err
    assert re.fullmatch(r"etcdsim: interrupted at [^\n]* of 480h \(leaking\)[^\n]*; nothing was kept\n", err)
    assert left == []
    assert contents(tmp_path) == {}


def test_ctrl_c_inside_a_process_of_the_simulation_is_ctrl_c() -> None:
    """It strikes wherever the program is; SimPy hands what a process raises on as its outcome."""
    from sim.processes.events import Clock

    clock = Clock()

    def struck():
        yield clock.timeout(1)
        raise KeyboardInterrupt

    clock.process(struck())
    with pytest.raises(KeyboardInterrupt):
        clock.advance(10)
