"""Who is at work on a store: one locked file for each sweep that runs.

The operating system drops the lock when its process is gone, however it went. So what a dead sweep had claimed is free at
once, and nobody has to guess from a clock whether another one is slow or dead. Where there are no such locks (Windows),
nobody counts as alive: two sweeps may then simulate the same run, and the first to finish is kept.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]


class Owner:
    """This sweep's lock, held until `release` or the end of the process; files of sweeps that were killed are taken away."""

    def __init__(self, folder: Path):
        folder.mkdir(exist_ok=True)
        self.name = uuid.uuid4().hex
        self._path = folder / self.name
        self._file = _locked(self._path)
        for other in [path.name for path in folder.iterdir() if path.name != self.name]:
            is_alive(folder, other)

    def release(self) -> None:
        """Give the lock up, also in workers that inherited it."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)


def _locked(path: Path) -> int:
    """The file, made and locked; made again where somebody took it for a dead one's before the lock was on it."""
    while True:
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        if fcntl is None:
            return file
        fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file).st_ino:
                return file
        os.close(file)


def is_alive(folder: Path, name: str) -> bool:
    """Whether the sweep of that name still runs; the file of a dead one is taken away."""
    if fcntl is None:
        return False
    path = folder / name
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    with contextlib.suppress(OSError):
        path.unlink()
    return False
