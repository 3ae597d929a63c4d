"""What a validation leaves: a directory of open formats, and the same as tables in Markdown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sim.errors import InputError
from sim.report.human import human
from sim.validation import measurement
from sim.validation.compare import ORDER, Row
from sim.validation.scrape import through
from sim.validation.suite import Validation

_SHOWN: Final = (
    "etcd.requests_per_second", "etcd.request_seconds.p50", "etcd.request_seconds.p90", "etcd.request_seconds.p99",
    "etcd.longest_gap_seconds", "etcd.leases_gone_after_seconds", "etcd.wal_fsyncs", "etcd.wal_fsync_seconds.mean",
    "etcd.wal_bytes_written", "etcd.db_bytes_total", "etcd.db_bytes_in_use", "etcd.keys_live", "etcd.revision",
    "etcd.apply_execution_seconds.p99", "etcd.backend_commit_seconds.p99", "etcd.compaction_seconds.mean",
)  # fmt: skip
"""Of all figures those that the tables of a document have."""


def save(found: Validation, directory: Path) -> None:
    """Write the result, its tables, each round with its scrapes and inputs, to a new directory. Raises InputError."""
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "scrapes").mkdir(parents=True)
        (partial / "validation.json").write_text(_json(found.plain()), encoding="utf-8")
        (partial / measurement.FILE).write_text(_json(found.measurement.plain()), encoding="utf-8")
        (partial / "validation.md").write_text("\n".join(markdown(found.plain())) + "\n", encoding="utf-8")
        (partial / "rounds.json").write_text(_json(_details(found)), encoding="utf-8")
        for members, inputs in found.inputs.items():
            path = partial / f"device-{members}.yaml"
            path.write_text(_json(inputs.disk.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
        for name, rounds in found.measurement.rounds.items():
            for number, one in enumerate(rounds, 1):
                for when, text in zip(("before", "after"), one.scrapes, strict=True):
                    if text:
                        (partial / "scrapes" / f"{name}.{number}.{when}.txt").write_text(text, encoding="utf-8")
        partial.rename(directory)
    except OSError as error:
        raise InputError(f"{directory}: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _details(found: Validation) -> dict[str, Any]:
    """Each round's figures, and etcd's histograms beside the predicted ones in the same buckets."""
    details: dict[str, Any] = {}
    for name, measured in found.measurement.rounds.items():
        predicted = found.predictions[name]
        details[name] = {
            "rounds": [
                {
                    "figures": one.figures, "cores_used": one.shares, "failures": one.failures, "beside": one.log,
                    "notes": one.notes,
                }
                for one in measured
            ],
            "predicted_failures": predicted.records.failures,
            "histograms": {
                figure: {
                    "upper_seconds": list(buckets.bounds), "measured": [list(one.buckets[figure].counts) for one in measured],
                    "predicted": list(through(predicted.run.distributions[figure], buckets.bounds).counts),
                }
                for figure, buckets in measured[0].buckets.items()
            },
        }  # fmt: skip
    return details


def markdown(found: dict[str, Any]) -> Iterator[str]:
    """Tables of what `Validation.plain` has: over all loads, then load by load."""
    machine = found["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"
    yield f"etcd {found['etcd_version']}, {where}; {found['rounds']} rounds."
    yield ""
    yield "| figure | goal | median error | worst error | at | loads |"
    yield "|---|---|---|---|---|---|"
    for figure, one in found["summary"].items():
        if figure not in _SHOWN:
            continue
        wanted = "" if "goal" not in one else f"{percent(one['goal'])}{'' if one['met'] else ' (missed)'}"
        yield (
            f"| `{figure}` | {wanted} | {percent(one['median_error'])} | {percent(one['worst_error'])} | {one['worst_at']} | "
            f"{one['loads']} |"
        )
    rows = [Row(**{key: value for key, value in row.items() if key != "counts"}) for row in found["rows"]]
    for name, load in found["workloads"].items():
        used = load["most_cores_used"]
        yield ""
        yield f"**{name}**{'' if load['held_out'] else ' (probe)'}: {load['about']}. Generator {used['generator']:.2f} of a core, "
        yield f"etcd {used['etcd']:.2f} cores, others {used['others']:.2f}."
        yield ""
        yield "| figure | predicted | measured | error | noise |"
        yield "|---|---|---|---|---|"
        for row in rows:
            if row.workload == name and (row.figure in _SHOWN or row.figure not in ORDER):
                error = "-" if row.error is None else percent(row.error, signed=True)
                spread = "-" if row.noise is None else percent(row.noise)
                mark = " *" if row.doubt else ""
                both = f"{value(row.predicted, row.figure)} | {value(row.measured, row.figure)}"
                yield f"| `{row.figure}`{mark} | {both} | {error} | {spread} |"
        for doubt in dict.fromkeys(row.doubt for row in rows if row.workload == name and row.doubt):
            yield f"\n\\* does not count: {doubt}."


def value(number: float | None, figure: str) -> str:
    """A figure's value for people."""
    unit = _unit(figure)
    if unit == "bytes" and number is not None:
        return f"{number:,.0f}" if number < 1e6 else f"{number / 1e6:,.3f} MB"
    return human(number, unit)


def _unit(figure: str) -> str:
    if "within_" in figure:
        return "share"
    if "_bytes" in figure:
        return "bytes"
    return "seconds" if "_seconds" in figure and not figure.endswith(".count") else ""


def percent(part: float, signed: bool = False) -> str:
    """Three digits of a part as a percentage; thousandths of a percent where it is small."""
    number = 100 * part
    size = abs(number)
    digits = 0 if size >= 99.95 else 1 if size >= 0.995 else 3
    text = f"{number:{'+' if signed else ''}.{digits}f}%"
    return "0%" if not number else text


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


