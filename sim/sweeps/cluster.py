"""A Dask cluster as an executor: `--scheduler tcp://host:8786`.

Distribution is Dask's: it moves tasks, notices lost workers and runs again what they had. What is ours is the check that every
worker has the same model as this process, and that a scheduler which does not answer is one line, soon.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

from sim.errors import InputError
from sim.sweeps.keys import model_version

PATIENCE_SECONDS: Final = 10.0
"""How long a scheduler may take to answer."""
_ADDRESS: Final = re.compile(r"(?:tcp|tls|ws|wss)://[^\s/:]+:\d{1,5}|(?:tcp|tls)://\[[0-9a-fA-F:.]+\]:\d{1,5}")
_LOGGERS: Final = ("distributed", "tornado", "asyncio")


@contextmanager
def cluster(address: str, patience: float = PATIENCE_SECONDS) -> Iterator[Executor]:
    """An executor whose runs go to the workers of the scheduler at `address`; what is not done at the end is cancelled.

    Raises InputError where Dask is not installed, the address is none, nobody answers within `patience` seconds, there is no
    worker, or a worker has another version of the model.
    """
    if not _ADDRESS.fullmatch(address):
        raise InputError(f'--scheduler: "{address}" is not the address of a Dask scheduler; write such as tcp://host:8786')
    try:
        distributed = import_module("distributed")
    except ImportError:
        raise InputError("--scheduler: Dask is not installed; pip install 'etcdsim[distributed]'") from None
    with _quiet():
        client = _connected(distributed, address, patience)
        try:
            yield _executor(client, address)
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=2)


def _connected(distributed: Any, address: str, patience: float) -> Any:
    """A client of the scheduler. In a thread: its own timeout does not cover somebody who listens and says nothing."""
    told: queue.Queue[Any] = queue.Queue()

    def connect() -> None:
        try:
            told.put(distributed.Client(address, timeout=patience, set_as_default=False, name="etcdsim"))
        except Exception as error:  # OSError, TimeoutError, and what its protocol makes of a foreign server
            told.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        found = told.get(timeout=patience + 2)
    except queue.Empty:
        found = TimeoutError()
    if not isinstance(found, Exception):
        return found
    said = f"does not answer within {patience:g} s" if isinstance(found, OSError) else f"is no Dask scheduler: {found}"
    raise InputError(f"--scheduler: {address} {said}")


def _executor(client: Any, address: str) -> Executor:
    """The executor of a client whose workers were looked at."""
    threads = client.nthreads()
    if not threads:
        raise InputError(f"--scheduler: {address} has no workers; start some with `dask worker {address} --nthreads 1`")
    ours = model_version()
    for worker, theirs in client.run(_worker_model, on_error="return").items():
        if isinstance(theirs, OSError):
            continue  # it has just gone: the scheduler knows
        if theirs != ours:
            said = f"has model {theirs}, not {ours}" if isinstance(theirs, str) else f"cannot import it: {theirs}"
            raise InputError(f"--scheduler: worker {worker} {said}; install the same etcdsim there")
    executor: Executor = client.get_executor(pure=False)
    executor._max_workers = sum(threads.values())  # type: ignore[attr-defined]  # as ProcessPoolExecutor says it
    return executor


def _worker_model() -> str:
    return model_version()


@contextmanager
def _quiet() -> Iterator[None]:
    """What matters of Dask's log is told by the sweep, in one line; a lost worker is Dask's business."""
    chatty = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _LOGGERS]
    before = {name: logging.getLogger(name).level for name in chatty}
    for name in chatty:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
