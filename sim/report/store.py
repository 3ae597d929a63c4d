"""A result as a directory of open formats: written as a whole or not at all, and the same bytes for the same run.

    scenario.yaml                           resolved, defaults included
    summary.json                            figures, status, writers, incidents: what --json prints without wall_seconds
    incidents.json  provenance.json         incidents by variant; versions, and the fitted and assumed parameters
    replications.json                       where there are several worlds: for each variant seed, figures and status of each
    overview.png
    variants/<variant>/series.parquet       `seconds` and a column a figure
    variants/<variant>/distributions.parquet  figure, window (null: the whole run), upper_seconds, count, and the
                                            sum, min and max of that distribution; an empty one has one row without edge

No wall time, date, host name or path of this machine goes into these files.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sim.errors import InputError
from sim.report.declared import parameters
from sim.report.document import document, incident, number, text
from sim.report.overview import overview, png
from sim.result import MODE, SCHEMA_VERSION, Distribution, Incident, Replication, Run, Runs
from sim.scenario import Scenario, dump
from sim.scenario import load as load_scenario

REPLICATIONS: Final = "replications.json"
_END: Final = "..."
"""How a saved scenario ends (YAML: the end of a document): a shorter text may be a scenario, too."""
_PACKAGES: Final = ("numpy", "scipy", "simpy", "pandas", "pyarrow")
_DISTRIBUTIONS: Final = pa.schema(
    [
        ("figure", pa.string()),
        ("window", pa.int32()),
        ("upper_seconds", pa.float64()),
        ("count", pa.int64()),
        ("sum_seconds", pa.float64()),
        ("min_seconds", pa.float64()),
        ("max_seconds", pa.float64()),
    ]
)


def check_target(directory: Path) -> None:
    """Whether a result can be written to `directory`: it must not exist, its parent must, and be writable.

    Raises InputError. Called before a long run as well, so that nothing is simulated in vain.
    """
    if directory.exists() or directory.is_symlink():
        raise InputError(f"{directory} exists; name a new directory, or remove it first")
    parent = directory.parent
    if not parent.is_dir():
        raise InputError(f"{directory}: there is no directory {parent}")
    with _partial(directory):
        pass


def save(runs: Runs, directory: Path) -> Path:
    """See `Runs.save`."""
    check_target(directory)
    with _partial(directory) as partial:
        _write(runs, partial)
        try:
            partial.rename(directory)
        except OSError as error:
            raise InputError(f"{directory}: {error.strerror}") from None
    return directory


def load(directory: Path) -> Runs:
    """See `Runs.load`."""
    summary = read_summary(directory)
    incidents = _json(directory / "incidents.json")
    scenario = read_scenario(directory)
    with _names(directory / "summary.json"):
        runs = {}
        for variant, part in summary["variants"].items():
            place = directory / "variants" / variant
            distributions, windows = _read_distributions(place / "distributions.parquet")
            runs[variant] = Run(
                variant=variant,
                seed=summary["seed"],
                horizon_seconds=float(summary["horizon_seconds"]),
                metrics={name: None if value is None else float(value) for name, value in part["metrics"].items()},
                status=dict(part["status"]),
                writers={
                    writer: {name: float(value) for name, value in values.items()}
                    for writer, values in part["writers"].items()
                },
                incidents=_incidents(directory / "incidents.json", incidents, variant),
                series=_read_series(place / "series.parquet"),
                distributions=distributions,
                windows=windows,
            )
        replications = _read_replications(directory / REPLICATIONS)
        return Runs(
            scenario, summary["seed"], runs, version=summary["version"], name=summary["scenario"], replications=replications
        )  # fmt: skip


def read_summary(directory: Path) -> dict[str, Any]:
    """The object of summary.json, checked to be one of ours. Raises InputError."""
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory")
    path = directory / "summary.json"
    if not path.is_file():
        raise InputError(f"{directory} is not a result of etcdsim: it has no summary.json")
    summary = _json(path)
    with _names(path):
        found = summary["schema_version"]
        if found != SCHEMA_VERSION:
            raise InputError(f"{path}: schema_version {found} is not {SCHEMA_VERSION}, the one this etcdsim reads")
        variants = summary["variants"]
        for key in ("seed", "version", "mode", "horizon_seconds"):
            summary[key]  # KeyError: named by `_names`
        if not isinstance(summary["scenario"], str) or not isinstance(variants, dict) or not variants:
            raise TypeError
        for variant, part in variants.items():
            # A variant is a directory's name; a foreign file must not send us elsewhere.
            if Path(variant).name != variant:
                raise InputError(f"{path}: {variant} is not the name of a variant")
            for value in part["metrics"].values():
                if isinstance(value, bool) or not (value is None or isinstance(value, int | float)):
                    raise TypeError
    return summary


def read_scenario(directory: Path) -> Scenario:
    """The resolved scenario of a result. Raises InputError."""
    path = directory / "scenario.yaml"
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        scenario = load_scenario(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not path.read_text(encoding="utf-8").rstrip().endswith(_END):
        raise InputError(f'{path}: its end is missing, a line "{_END}"; it was cut off')
    return scenario


def _write(runs: Runs, directory: Path) -> None:
    (directory / "scenario.yaml").write_text(f"{dump(runs.scenario)}{_END}\n", encoding="utf-8")
    summary = document(runs)
    del summary["wall_seconds"]
    (directory / "summary.json").write_text(text(summary), encoding="utf-8")
    happened = {variant: [incident(one) for one in run.incidents] for variant, run in runs.items()}
    (directory / "incidents.json").write_text(text(happened), encoding="utf-8")
    (directory / "provenance.json").write_text(text(_provenance(runs)), encoding="utf-8")
    if runs.replications:
        (directory / REPLICATIONS).write_text(text(_replications(runs)), encoding="utf-8")
    (directory / "overview.png").write_bytes(png(overview(runs)))
    for variant, run in runs.items():
        place = directory / "variants" / variant
        place.mkdir(parents=True)
        _write_series(run.series, place / "series.parquet")
        _write_distributions(run, place / "distributions.parquet")


def _replications(runs: Runs) -> dict[str, Any]:
    return {
        variant: [
            {"seed": world.seed, "metrics": {name: number(value) for name, value in sorted(world.metrics.items())},
             "status": dict(sorted(world.status.items()))}
            for world in worlds
        ]
        for variant, worlds in runs.replications.items()
    }  # fmt: skip


def _read_replications(path: Path) -> dict[str, list[Replication]]:
    if not path.is_file():
        return {}
    found = _json(path)
    with _names(path):
        return {
            variant: [
                Replication(
                    int(world["seed"]),
                    {name: None if value is None else float(value) for name, value in world["metrics"].items()},
                    dict(world["status"]),
                )
                for world in worlds
            ]
            for variant, worlds in found.items()
        }


def _provenance(runs: Runs) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": runs.name,
        "seed": runs.seed,
        "mode": MODE,
        "horizon_seconds": number(runs.horizon_seconds),
        "etcdsim": runs.version,
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _installed(name))},
        "parameters": [
            {"path": one.path, "is": one.standing, "why": one.why} for one in parameters(runs.scenario)
        ],
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _write_series(series: pd.DataFrame, path: Path) -> None:
    columns = {"seconds": pa.array(np.asarray(series.index, dtype=np.float64))}
    for name in series.columns:
        columns[str(name)] = pa.array(np.asarray(series[name], dtype=np.float64))
    _write_parquet(pa.table(columns), path)


def _read_series(path: Path) -> pd.DataFrame:
    table = _read_parquet(path)
    with _names(path):
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        seconds = pd.Index(columns.pop("seconds"), name="seconds")
        return pd.DataFrame(columns, index=seconds)


def _write_distributions(run: Run, path: Path) -> None:
    parts: list[tuple[str, int | None, Distribution]] = [(name, None, one) for name, one in run.distributions.items()]
    parts += [(name, at, one) for name, windows in run.windows.items() for at, one in enumerate(windows)]
    tables = [_table(*part) for part in parts]
    _write_parquet(pa.concat_tables(tables) if tables else _DISTRIBUTIONS.empty_table(), path)


def _table(figure: str, window: int | None, of: Distribution) -> pa.Table:
    rows = max(len(of.counts), 1)
    edges = of.upper_seconds if of.count else [None]
    counts = of.counts if of.count else [0]
    columns = [[figure] * rows, [window] * rows, edges, counts]
    moments = [of.sum_seconds, of.min_seconds, of.max_seconds]
    columns += [[moment] * rows for moment in moments]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, _DISTRIBUTIONS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_DISTRIBUTIONS)


def _read_distributions(path: Path) -> tuple[dict[str, Distribution], dict[str, list[Distribution]]]:
    table = _read_parquet(path)
    whole: dict[str, Distribution] = {}
    windows: dict[str, list[Distribution]] = {}
    with _names(path):
        if table.schema != _DISTRIBUTIONS:
            raise TypeError
        frame = table.to_pandas()
        for (figure, window), rows in frame.groupby(["figure", "window"], sort=False, dropna=False):
            kept = rows[rows["count"] > 0]
            of = Distribution(
                count=int(kept["count"].sum()),
                sum_seconds=float(rows["sum_seconds"].iloc[0]),
                min_seconds=float(rows["min_seconds"].iloc[0]),
                max_seconds=float(rows["max_seconds"].iloc[0]),
                upper_seconds=kept["upper_seconds"].to_numpy(dtype=np.float64),
                counts=kept["count"].to_numpy(dtype=np.int64),
            )
            if pd.isna(window):
                whole[figure] = of
            else:
                windows.setdefault(figure, []).append(of)
    return whole, windows


def _incidents(path: Path, found: Mapping[str, Any], variant: str) -> list[Incident]:
    with _names(path):
        own = ("at_seconds", "kind", "about")
        return [
            Incident(
                float(one["at_seconds"]),
                one["kind"],
                one["about"],
                {key: value for key, value in one.items() if key not in own},
            )
            for one in found[variant]
        ]


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", store_schema=False, write_page_checksum=True)


def _read_parquet(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a Parquet file, or damaged ({_first_line(error)})") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON, or damaged ({_first_line(error)})") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: not a result of etcdsim")
    return found


@contextmanager
def _names(path: Path) -> Iterator[None]:
    """Turn what a file of another shape does to the reader into one line that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else "something of another kind"
        raise InputError(f"{path}: not a result of etcdsim, or damaged ({what})") from None


@contextmanager
def _partial(directory: Path) -> Iterator[Path]:
    """A new directory beside `directory` that is gone at the end, however it ends, unless it was renamed."""
    partial = directory.parent / f".{directory.name}.partial-{os.getpid()}"
    try:
        partial.mkdir()
    except OSError as error:
        raise InputError(f"{directory.parent} is not writable: {error.strerror}") from None
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
