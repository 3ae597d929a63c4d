"""Where the points of a growth come from: the store of a sweep, a table of one's own measurements, a table from `sim.sweep`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.analysis import Reached, time_to_level
from sim.analysis.laws import LAWS, THROUGH_ORIGIN
from sim.analysis.outcome import LEVEL
from sim.errors import InputError, nearest
from sim.planning.aims import check_figure
from sim.planning.growth import TIME, Growth, growth, over_time
from sim.scenario import from_dict
from sim.scenario.refusal import shown
from sim.sweeps.plan import resolved
from sim.sweeps.rows import Asked, Results
from sim.sweeps.store import Store

_SIZE = "etcd.db_bytes_total"


@dataclass(frozen=True, slots=True)
class Answers:
    """A growth for each variant; quota: when the database reaches its quota, for growth with time."""

    growths: tuple[Growth, ...]
    quota: dict[str, Reached]


def read(
    source: str | Path | pd.DataFrame, figure: str | None = None, against: str | None = None, *, variant: str | None = None,
    where: Mapping[str, Any] | None = None, laws: Sequence[str] = (), level: float = LEVEL,
) -> Answers:  # fmt: skip
    """How a figure grows in the runs of a store, of a CSV file, or of a table from `sim.sweep`.

    figure: by default the first that the sweep shows; against: the knob, by default the only one that varies, or `time`.
    where: values of other knobs. Raises InputError.
    """
    for law in laws:
        if law not in LAWS:
            raise InputError(f"law: {shown(law)} is not a law{_hint(law, LAWS)}")
    if not 0 < level < 1:
        raise InputError(f"confidence: {shown(level)} is not a share between 0 and 1, such as 95%")
    chosen = tuple(laws) or THROUGH_ORIGIN
    if isinstance(source, pd.DataFrame):
        return _frame(source, figure, against, variant, where or {}, chosen, level)
    path = Path(source)
    if path.is_file():
        return _file(path, figure, against, chosen, level)
    with Store(path) as store:
        results = Results(store)
        asked = results.sweeps[0]
        name = check_figure(figure if figure is not None else next(iter(results.figures), None), "figure")
        if against == TIME:
            return _time(results, asked, name, variant, where or {}, chosen, level)
        rows = [
            {**row.values, "variant": row.variant, "replication": row.replication, "seed": row.seed, name: row.metrics[name]}
            for row in results.rows([name])
        ]
    if not rows:
        raise InputError(f"{path}: no run has finished in this store")
    frame = pd.DataFrame(rows)
    return _frame(frame, name, against, variant, where or {}, chosen, level)


def _file(path: Path, figure: str | None, against: str | None, laws: Sequence[str], level: float) -> Answers:
    try:
        frame = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a table of comma-separated values ({' '.join(str(error).split())})") from None
    columns = [str(name) for name in frame.columns if name not in ("seed", "replication")]
    if len(columns) != 2 and (figure is None or against is None):
        raise InputError(f"{path}: has {', '.join(columns) or 'no columns'}; say which grows against which: --of, --against")
    x = against if against is not None else next(name for name in columns if name != figure)
    y = figure if figure is not None else next(name for name in columns if name != x)
    return Answers((growth(frame, y, x, "", laws, level),), {})


def _frame(
    frame: pd.DataFrame, figure: str | None, against: str | None, variant: str | None, where: Mapping[str, Any],
    laws: Iterable[str], level: float,
) -> Answers:  # fmt: skip
    if figure is None:
        raise InputError("figure: missing; name the figure that grows, such as etcd.keys_created")
    told = {"sweep", "point", "variant", "replication", "seed"}
    knobs = getattr(frame, "knobs", None) or [str(name) for name in frame.columns if name not in told and name != figure]
    kept = _kept(frame, where, knobs)
    varied = [knob for knob in knobs if kept[knob].map(str).nunique() > 1]
    if against is None:
        if len(varied) != 1:
            raise InputError(
                f"against: {', '.join(varied) or 'no knob'} varies; say against which it grows, with --against, or time"
            )
        against = varied[0]
    if against not in knobs:
        raise InputError(f"against: {shown(against)} is not a knob of this sweep{_hint(against, knobs)}")
    others = [knob for knob in varied if knob != against]
    if others:
        values = ", ".join(sorted(set(kept[others[0]].map(str))))
        raise InputError(f"{others[0]}: varies too ({values}); choose one with --where {others[0]}=VALUE")
    names = _variants(kept, variant)
    return Answers(tuple(growth(kept[kept["variant"] == name], figure, against, name, laws, level) for name in names), {})


def _time(
    results: Results, asked: Asked, figure: str, variant: str | None, where: Mapping[str, Any], laws: Sequence[str], level: float
) -> Answers:
    found = _kept(results.series(figure), where, list(asked.paths))
    if found.empty:
        raise InputError(
            f"{figure}: has no series in this store; it keeps those of etcdsim sweep --series, and not of every figure"
        )
    for knob in asked.paths:
        if found[knob].map(str).nunique() > 1:
            values = ", ".join(sorted(set(found[knob].map(str))))
            raise InputError(f"{knob}: varies ({values}); choose one with --where {knob}=VALUE")
    sizes = found if figure == _SIZE else _kept(results.series(_SIZE), where, list(asked.paths))
    growths, quota = [], {}
    for name in _variants(found, variant):
        mine = found[found["variant"] == name]
        growths.append(over_time(_curves(mine, figure), figure, name, laws, level))
        given = {knob: mine[knob].iloc[0] for knob in asked.paths}
        scenario = resolved(from_dict(asked.scenario), {knob: _plain(value) for knob, value in given.items()}, name)
        limit = scenario.etcd.quota
        curves = _curves(sizes[sizes["variant"] == name], _SIZE) if not sizes.empty else []
        if limit is not None and curves and all(len(times) >= 24 for times, _ in curves):
            quota[name] = time_to_level(curves, float(limit), level)
    return Answers(tuple(growths), quota)


def _curves(frame: pd.DataFrame, figure: str) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    curves = []
    for _, one in frame.groupby("replication", sort=True):
        kept = one.dropna(subset=[figure])
        curves.append((kept["seconds"].to_numpy(dtype=np.float64), kept[figure].to_numpy(dtype=np.float64)))
    return curves


def _kept(frame: pd.DataFrame, where: Mapping[str, Any], knobs: Sequence[str]) -> pd.DataFrame:
    """The runs with these values."""
    for path, value in where.items():
        if path not in knobs:
            raise InputError(f"--where: {shown(path)} is not a knob of this sweep{_hint(path, knobs)}")
        kept = frame[frame[path].map(str) == str(value)]
        if kept.empty:
            values = ", ".join(sorted(set(frame[path].map(str))))
            raise InputError(f"--where: no run has {path}={value}; there are {values}")
        frame = kept
    return frame


def _variants(frame: pd.DataFrame, variant: str | None) -> list[str]:
    names = list(dict.fromkeys(frame["variant"]))
    if variant is None:
        return names
    if variant not in names:
        raise InputError(f"variant: {shown(variant)} has no runs there{_hint(variant, names)}")
    return [variant]


def _hint(name: str, known: Iterable[str]) -> str:
    known = list(known)
    return nearest(name, known) or f"; one of {', '.join(known) or 'none'}"


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
