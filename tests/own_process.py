"""`etcdsim` in a process of its own that is forked from this one: the same end to end, without a second of imports.

Its output goes through pipes, its signals are as a shell starts it, `main` alone decides its exit code, and it ends as an
interpreter does: threads are waited for, then worker processes. What an interpreter's own start decides (hash seed, what is
imported) needs a real one: `COMMAND`.
"""

from __future__ import annotations

import io
import multiprocessing.process
import multiprocessing.util
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

_HEAVY = ("sim.cli", "sim.simulation", "sim.sweeps.api", "matplotlib.figure", "pyarrow.parquet", "rich.console", "scipy.stats")
COMMAND = [sys.executable, "-c", "import sys; from sim.cli import main; sys.exit(main())"]


class OwnProcess:
    """`etcdsim ARGUMENTS`, started. The methods are those of `subprocess.Popen`.

    cwd: where it runs; group: whether it leads a process group of its own; first: what it calls before all else.
    """

    def __init__(
        self, *arguments: str | Path, cwd: Path | None = None, group: bool = False, first: Callable[[], None] | None = None
    ):
        for name in _HEAVY:  # once, here, and not in each child
            import_module(name)
        self.args = list(map(str, arguments))
        self.returncode: int | None = None
        ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
        self._pipes = dict(zip(ours, (b"", b""), strict=True))
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _become(self.args, theirs, cwd, group, first)
        for end in theirs:
            os.close(end)

    def poll(self) -> int | None:
        """Its exit code, below zero for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        """The same once it has ended. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.002)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Everything that it and its children write, to the end. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + timeout
        said = dict(self._pipes)
        with selectors.DefaultSelector() as open_:
            for pipe in said:
                open_.register(pipe, selectors.EVENT_READ)
            while open_.get_map():
                ready = open_.select(max(end - time.monotonic(), 0))
                if not ready:
                    raise subprocess.TimeoutExpired(self.args, timeout)
                for key, _ in ready:
                    chunk = os.read(key.fd, 1 << 16)
                    said[key.fd] += chunk
                    if not chunk:
                        open_.unregister(key.fd)
                        os.close(key.fd)
        self._pipes = {}
        self.wait(max(end - time.monotonic(), 1))
        out, err = (text.decode().replace("\r\n", "\n") for text in said.values())
        return out, err


def _become(arguments: list[str], pipes: tuple[int, int], cwd: Path | None, group: bool, first: Callable[[], None] | None) -> None:
    """In the child: be what a shell would have started, and end."""
    code = 1
    try:
        if group:
            os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for to, pipe in enumerate(pipes, start=1):
            os.dup2(pipe, to)
        if first is not None:
            first()
        os.closerange(3, 4096)
        sys.stdin = io.TextIOWrapper(io.FileIO(0))
        sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), encoding="utf-8")
        sys.stderr = sys.__stderr__ = io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w")), encoding="utf-8", line_buffering=True)
        sys.argv = ["etcdsim", *arguments]
        warnings.resetwarnings()
        multiprocessing.process._children.clear()  # type: ignore[attr-defined]  # those of the process that it was
        if cwd is not None:
            os.chdir(cwd)
        from sim.cli import main

        code = main()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            threading._shutdown()  # type: ignore[attr-defined]
            multiprocessing.util._exit_function()  # type: ignore[attr-defined]
            sys.stderr.flush()
        finally:
            os._exit(code)
