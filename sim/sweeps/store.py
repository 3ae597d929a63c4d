"""What has run: one directory that sweeps share, and that survives the end of any of them at any moment.

    ledger.sqlite      sweeps, points and cells (which run is asked for), runs (metrics by key), failures, claims
    series/*.parquet   time series, many runs a file, a column `key` for whose they are
    owners/            a locked file for each sweep at work

A finished run enters the ledger in one transaction: its metrics, its series, the end of its claim, and the claims of the
next ones. Series wait in the ledger until there are enough for a file. The file is written aside, made durable and
renamed before the ledger lets go of them: whatever is interrupted leaves them in one place or in both, never in none.

The ledger keeps SQLite's rollback journal, not its write-ahead log. A sweep commits a few times a second, far below what
either can do; in return the store stays one file that may be copied, and works where shared memory does not exist
(network file systems). Readers wait for a commit of milliseconds, writers for each other, up to a minute.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from sim.errors import InputError
from sim.scenario import to_dict
from sim.sweeps.owners import Owner, is_alive
from sim.sweeps.plan import Plan
from sim.sweeps.work import Outcome, unpacked

SCHEMA_VERSION: Final = 1
LEDGER: Final = "ledger.sqlite"
_APPLICATION: Final = 0x65_74_63_64  # "etcd"
_PATIENCE_SECONDS: Final = 60
_BATCH: Final = 64
"""Runs whose series make a file; some megabytes."""
_SCHEMA: Final = (
    "CREATE TABLE runs (key TEXT PRIMARY KEY, seed INTEGER NOT NULL, model TEXT NOT NULL, metrics TEXT NOT NULL, "
    "status TEXT NOT NULL, digest TEXT NOT NULL, wall_seconds REAL NOT NULL, file TEXT, series BLOB)",
    "CREATE INDEX waiting ON runs (key) WHERE series IS NOT NULL",
    "CREATE TABLE sweeps (sweep TEXT PRIMARY KEY, name TEXT NOT NULL, model TEXT NOT NULL, scenario TEXT NOT NULL, "
    "study TEXT NOT NULL)",
    "CREATE TABLE points (sweep TEXT, point INTEGER, given TEXT NOT NULL, problem TEXT, PRIMARY KEY (sweep, point))",
    "CREATE TABLE cells (sweep TEXT, point INTEGER, place INTEGER, replication INTEGER, variant TEXT NOT NULL, "
    "seed INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (sweep, point, place, replication)) WITHOUT ROWID",
    "CREATE TABLE failures (key TEXT PRIMARY KEY, reason TEXT NOT NULL)",
    "CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL)",
)

Answer = Literal["ours", "done", "theirs"]


class StoreFull(Exception):
    """What finished could not be written; nothing of it was. The message is one line."""


class Store:
    """A directory of runs. One object belongs to one thread."""

    def __init__(self, directory: Path, create: bool = False):
        """Opens the store of `directory`, or makes one there. Raises InputError."""
        self.directory = directory
        self._path = directory / LEDGER
        if create:
            _prepare(directory)
        elif not self._path.is_file():
            raise InputError(f"{directory} is not a store of a sweep: it has no {LEDGER}")
        self.owner: Owner | None = None
        with self._named():
            address = f"{self._path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
            self._db = sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS, isolation_level=None)
            try:
                self._check(create)
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what was claimed, and let go of the files."""
        if self.owner is not None:
            with suppress(sqlite3.Error):  # the lock goes below: claims without a living owner are free
                self._db.execute("DELETE FROM claims WHERE owner = ?", (self.owner.name,))
            self.owner.release()
            self.owner = None
        self._db.close()

    def register(self, plan: Plan) -> None:
        """Write down what a plan asks for; again, where it is known."""
        study = plan.study
        told = {"figures": study.figures, "paths": study.paths(), "design": study.design, "replications": study.replications,
                "seed": study.seed, "until": dict(study.until)}  # fmt: skip
        row = (plan.id, study.name, plan.model, json.dumps(to_dict(study.scenario)), json.dumps(told))
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO sweeps VALUES (?, ?, ?, ?, ?)", row)
            db.executemany(
                "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)",
                ((plan.id, at, json.dumps(values), plan.problems.get(at)) for at, values in enumerate(plan.points)),
            )
            db.executemany(
                "INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((plan.id, c.point, c.place, c.replication, c.variant, c.seed, c.key) for c in plan.cells),
            )

    def known(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys whose runs are here."""
        found: set[str] = set()
        wanted = list(dict.fromkeys(keys))
        with self._named():
            for at in range(0, len(wanted), 500):
                part = wanted[at : at + 500]
                places = ",".join("?" * len(part))
                found.update(key for (key,) in self._db.execute(f"SELECT key FROM runs WHERE key IN ({places})", part))
        return found

    def wall_seconds(self, model: str) -> float | None:
        """How long a run of that model took here, on average; None where none has run."""
        with self._named():
            (found,) = self._db.execute("SELECT avg(wall_seconds) FROM runs WHERE model = ?", (model,)).fetchone()
        return None if found is None else float(found)

    def turn(self, finished: Sequence[Outcome], wanted: Sequence[str], model: str) -> dict[str, Answer]:
        """Take what finished and claim what comes next, in one transaction.

        Answers for each wanted key whether it is ours to run, already done, or at work in another sweep. Raises StoreFull.
        """
        if self.owner is None:
            with _full(self.directory):
                self.owner = Owner(self.directory / "owners")
        with self._writing() as db:
            for outcome in finished:
                _take(db, outcome, model)
            db.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", ((one.key, self.owner.name) for one in finished))
            return {key: self._claim(db, key, self.owner.name) for key in wanted}

    def write_series(self, everything: bool = False) -> None:
        """Move series that wait in the ledger to files, where there are enough for one, or all. Raises StoreFull."""
        while True:
            with self._named():
                rows = self._db.execute("SELECT key FROM runs WHERE series IS NOT NULL ORDER BY key LIMIT ?", (_BATCH,)).fetchall()
            if not rows or (len(rows) < _BATCH and not everything):
                return
            self._write_file([key for (key,) in rows])

    def query(self, text: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of the ledger."""
        with self._named():
            yield from self._db.execute(text, values)

    def _write_file(self, keys: list[str]) -> None:
        """One batch to one file, in a transaction, so that two sweeps do not move the same series."""
        with self._writing() as db:
            places = ",".join("?" * len(keys))
            rows = db.execute(
                f"SELECT key, series FROM runs WHERE key IN ({places}) AND series IS NOT NULL ORDER BY key", keys
            ).fetchall()
            if not rows:
                return
            name = f"series/{hashlib.sha256(''.join(key for key, _ in rows).encode()).hexdigest()[:24]}.parquet"
            with _full(self.directory):
                _write_parquet([(key, unpacked(series)) for key, series in rows], self.directory / name)
            db.executemany("UPDATE runs SET series = NULL, file = ? WHERE key = ?", ((name, key) for key, _ in rows))

    def _claim(self, db: sqlite3.Connection, key: str, owner: str) -> Answer:
        if db.execute("SELECT 1 FROM runs WHERE key = ?", (key,)).fetchone():
            return "done"
        held = db.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
        if held is not None and held[0] != owner and is_alive(self.directory / "owners", held[0]):
            return "theirs"
        db.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, owner))
        return "ours"

    def _check(self, create: bool) -> None:
        """Whether the ledger is one of ours, of this version; an empty file becomes one."""
        self._db.execute("PRAGMA synchronous = FULL")
        if create and not self._tables():
            with self._writing() as db:
                if not self._tables():
                    for statement in _SCHEMA:
                        db.execute(statement)
                    db.execute(f"PRAGMA application_id = {_APPLICATION}")
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if self._pragma("application_id") != _APPLICATION:
            raise InputError(f"{self._path} is not a ledger of etcdsim")
        found = self._pragma("user_version")
        if found != SCHEMA_VERSION:
            ours = f"is not {SCHEMA_VERSION}, the one this etcdsim reads"
            raise InputError(f"{self._path}: schema version {found} {ours}; name another directory")

    def _tables(self) -> bool:
        return self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is kept whole or not at all."""
        with self._named():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    with suppress(sqlite3.Error):  # a full disk may have ended the transaction already
                        self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and _is_full(error):
                    raise StoreFull(f"{self.directory}: {error}") from None
                raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what SQLite says of a foreign, damaged or locked file into one line that names it."""
        try:
            yield
        except sqlite3.OperationalError as error:
            said = f"locked by another program for {_PATIENCE_SECONDS} s" if "locked" in str(error) else str(error)
            raise InputError(f"{self._path}: {said}") from None
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self._path} is not a ledger of etcdsim, or damaged ({error})") from None


def check_target(directory: Path) -> None:
    """Whether a store is at `directory` or can be made there. Raises InputError."""
    if (directory / LEDGER).is_file():
        return
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is not a directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise InputError(f"{directory} is not empty and not a store of a sweep; name a new directory")
    if not directory.absolute().parent.is_dir():
        raise InputError(f"{directory}: there is no directory {directory.absolute().parent}")


def _prepare(directory: Path) -> None:
    check_target(directory)
    try:
        (directory / "series").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory} is not writable: {error.strerror}") from None


def _take(db: sqlite3.Connection, outcome: Outcome, model: str) -> None:
    if outcome.metrics is None:
        db.execute("INSERT OR REPLACE INTO failures VALUES (?, ?)", (outcome.key, outcome.problem))
        return
    metrics = json.dumps(outcome.metrics, sort_keys=True, allow_nan=False)
    status = json.dumps(outcome.status, sort_keys=True)
    told = hashlib.sha256(f"{metrics}\n{status}".encode()).hexdigest()
    db.execute(
        "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
        (outcome.key, outcome.seed, model, metrics, status, told, outcome.wall_seconds, outcome.series),
    )
    db.execute("DELETE FROM failures WHERE key = ?", (outcome.key,))


def _write_parquet(tables: list[tuple[str, pa.Table]], path: Path) -> None:
    """Written aside, made durable, then renamed."""
    keyed = [table.add_column(0, "key", pa.array([key] * table.num_rows, pa.string())) for key, table in tables]
    aside = path.with_suffix(f".partial-{os.getpid()}")
    try:
        pq.write_table(pa.concat_tables(keyed, promote_options="default"), aside, compression="zstd", store_schema=False)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _full(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreFull(f"{directory}: {error.strerror or error}") from None


def _is_full(error: sqlite3.OperationalError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
