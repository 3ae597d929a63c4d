"""Processes that send a load or watch it: started, asked, and gone at the end, however that comes."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import sim
from sim.errors import InputError
from sim.scenario.load_test import LoadTest
from sim.units import Nanoseconds

_READY_WITHIN: Final = 60.0
_WHERE_WE_ARE: Final = (str(Path(sim.__file__).parents[1]), os.environ.get("PYTHONPATH"))
"""The child is this package's, whatever the working directory holds."""
Explain = Callable[[], str]
"""Why etcd ended, empty while it runs."""


class Child:
    """One process that is connected and waits for the word. save: the file of its records; explain: why etcd ended."""

    def __init__(self, process: subprocess.Popen[str], save: Path, explain: Explain):
        self._process, self.save, self._explain = process, save, explain

    def prepare(self, spec: dict[str, Any]) -> None:
        """Tell it what to do and wait until it could begin. Raises InputError."""
        said = self._answer(json.dumps({**spec, "save": str(self.save)}) + "\n", _READY_WITHIN)
        if said.strip() != "ready":
            with suppress(ValueError, KeyError):
                said = json.loads(said)["error"]
            self._fail(said.strip() or "it ended")

    def begin(self, at: Nanoseconds) -> None:
        """The moment to begin, of the monotonic clock."""
        self._write(f"{at}\n")

    def result(self, within: float) -> dict[str, Any]:
        """What it says at its end. Raises InputError if it or etcd fails."""
        said = self._read(within)
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError:
            found = {"error": said.strip() or "it ended"}
        if "error" in found:
            self._fail(found["error"])
        return found

    def _fail(self, why: str) -> None:
        time.sleep(0.2)  # etcd's end, where that is the reason
        raise InputError(self._explain() or f"the load generator failed: {why}")

    def _answer(self, text: str, within: float) -> str:
        self._write(text)
        return self._read(within)

    def _write(self, text: str) -> None:
        if self._process.stdin is None:
            raise AssertionError
        with suppress(BrokenPipeError):
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def _read(self, within: float) -> str:
        stdout = self._process.stdout
        if stdout is None:
            raise AssertionError
        ready, _, _ = select.select([stdout], [], [], within)
        if not ready:
            raise InputError(self._explain() or f"the load generator has not answered for {within:g} s")
        return stdout.readline()

    def close(self) -> None:
        """End it if it has not ended."""
        process = self._process
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


@contextmanager
def children(
    load: LoadTest, seed: int, endpoints: list[tuple[str, int]], folder: Path, explain: Explain
) -> Iterator[tuple[list[Child], list[Child]]]:
    """The generators of a load, and who watches it, all ready. folder: for the files of their records. Raises InputError."""
    with ExitStack() as stack:
        spec = {"load": load.model_dump(mode="json"), "seed": seed, "endpoints": endpoints}

        def start(module: str, **more: Any) -> Child:
            save = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix="records-"))
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"sim.validation.{module}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, _WHERE_WE_ARE))},
            )  # fmt: skip
            child = Child(process, Path(save.name), explain)
            stack.callback(child.close)
            child.prepare({**spec, **more})
            return child

        watching = [start("watchers")] if load.watchers else []
        sending = [start("generator", index=index, of=load.generators) for index in range(load.generators)]
        yield sending, watching
