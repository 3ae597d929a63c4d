"""A calibration as a YAML file that a scenario extends, and as plain data for `--json`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from sim.calibration.cluster import Calibration
from sim.calibration.fit import Fit
from sim.calibration.histogram import Histogram
from sim.calibration.laws import written

_PLAIN: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9_/ -]*|[0-9.]+(ns|us|ms|s|m|h|d|B|kB|MB|GB|KiB|MiB|GiB|MB/s|kB/s)([0-9.]+(ns|us|ms|s|m))*"
)
_WORDS: Final = ("on", "off", "yes", "no", "null", "true", "false", "y", "n")
_WIDTH: Final = 120
_QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)


def to_yaml(found: Calibration, extends: str | None = None) -> str:
    """The text of a file that a scenario names in `extends`, or that extends one itself."""
    lines = [f"# {line}" for line in ("Written by etcdsim calibrate. What was measured could not tell:", *_untold(found))]
    if extends is not None:
        lines.append(f"extends: {_scalar(extends)}")
    etcd = dict(found.etcd)
    members = etcd.pop("members")
    lines += ["etcd:", *(line for key, value in etcd.items() if key == "version" for line in _block(key, value, 1)), "  members:"]
    for place, name in enumerate(members):
        if place == 0:
            lines += [f"    {name}:", "      disk: &disk", *(line for k, v in found.profile.items() for line in _block(k, v, 4))]
        else:
            lines.append(f"    {name}: {{disk: *disk}}")
    lines += [line for key, value in etcd.items() if key != "version" for line in _block(key, value, 1)]
    lines.append("provenance:")
    lines += [line for path, entry in found.provenance.items() for line in _block(path, entry, 1)]
    return "\n".join(lines) + "\n"


def profile_yaml(found: Calibration) -> str:
    """The text of a device profile alone, as `disk: ./my-disk.yaml` reads it."""
    return "\n".join(line for key, value in found.profile.items() for line in _block(key, value, 0)) + "\n"


def to_data(found: Calibration) -> dict[str, Any]:
    """Everything as plain data, seconds and bytes, in a fixed order; null where something is not known."""
    return {
        "schema_version": 1,
        "etcd_version": found.version,
        "member": found.member or None,
        "seconds": _number(found.seconds),
        "histograms": {name: _histogram(found, name, seen) for name, seen in found.histograms.items()},
        "backend_fdatasync": _fit(found.half) if found.half else None,
        "below": _below(found),
        "fio": None
        if found.fio is None
        else {
            "samples": found.fio.samples,
            "block_bytes": found.fio.block_bytes,
            "mean_seconds": found.fio.mean,
            "bandwidth_bytes_per_second": found.fio.bandwidth,
        },
        "stalls": _stalls(found),
        "ridges": [
            {
                "name": one.name,
                "why": one.why,
                "apart": one.apart,
                "columns": [f"{name} ({unit})" if unit else name for name, unit in one.columns],
                "points": [[_number(value) for value in point] for point in one.points],
                "notes": list(one.notes),
                "written": one.chosen,
            }
            for one in found.ridges
        ],
        "cluster": {"etcd": _keyed(found.etcd), "provenance": found.provenance},
        "remarks": found.remarks,
    }


def _untold(found: Calibration) -> list[str]:
    said = [f"- {one.name}: {one.apart} would tell them apart" for one in found.ridges]
    if found.hidden is not None:
        hidden = found.hidden
        said.append(
            f"- below {written(hidden.bound)}, where {hidden.share:.2%} of the fsyncs are: their median lies between "
            f"{written(hidden.median[0])} and {written(hidden.median[1])}"
        )
    return said or ["- nothing that is known of"]


def _histogram(found: Calibration, name: str, seen: Histogram) -> dict[str, Any]:
    fitted = found.fits.get(name)
    return {
        "count": seen.count,
        "mean_seconds": _number(seen.mean),
        "bounds_seconds": list(seen.bounds),
        "counts": list(seen.counts),
        "fit": None if fitted is None else _fit(fitted.best),
        "candidates": [] if fitted is None else [_fit(one) for one in fitted.candidates],
    }


def _fit(one: Fit) -> dict[str, Any]:
    return {
        "law": str(one.law),
        "declared": _keyed(one.law.declared()),
        "parameters": one.parameters,
        "aic": _number(one.aic),
        "bic": _number(one.bic),
        "chi2": _number(one.chi2),
        "degrees_of_freedom": one.degrees,
        "p_value": _number(one.p_value),
        "ks": _number(one.ks),
        "ks_p_value": _number(one.ks_p),
        "mean_error": _number(one.mean_error),
        "tail_factor": _number(one.tail),
        "not_identified": one.free,
        "accepted": one.accepted,
        "quantiles": {
            f"p{100 * at:g}": {
                "seconds": _number(one.quantile(at)),
                "standard_error": _number(one.spread.get(at)),
                "bucket_seconds": [_number(end) for end in one.histogram.bracket(at)],
            }
            for at in _QUANTILES
        },
    }


def _below(found: Calibration) -> dict[str, Any] | None:
    hidden = found.hidden
    if hidden is None:
        return None
    return {
        "bound_seconds": hidden.bound,
        "share": hidden.share,
        "mean_seconds": list(hidden.mean),
        "median_seconds": list(hidden.median),
    }


def _stalls(found: Calibration) -> dict[str, Any] | None:
    one = found.stalls
    if one is None:
        return None
    return {
        "intervals": one.intervals,
        "seconds": one.seconds,
        "observations": one.observations,
        "slow": one.slow,
        "threshold_seconds": one.threshold,
        "kind": one.kind,
        "decided": one.decided,
        "aic": {k: _number(v) for k, v in one.aic.items()},
        "rate_per_hour": one.rate * 3600,
        "rate_per_hour_95": [_number(end * 3600) for end in one.rate_interval],
        "slow_per_episode": one.per_episode,
        "length_seconds": one.length,
        "slow_fsync_seconds": one.slow_seconds,
        "share_of_time": one.share,
        "dispersion": one.dispersion,
        "p_value": one.p_value,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _keyed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _keyed(item) for key, item in value.items()}
    return [_keyed(item) for item in value] if isinstance(value, list) else value


def _block(key: str, value: Any, depth: int) -> list[str]:
    """`key: value`, on one line where it fits, else a line for each part."""
    indent = "  " * depth
    flow = f"{indent}{_scalar(key)}: {_flow(value)}"
    if len(flow) <= _WIDTH or not isinstance(value, Mapping | list):
        return [flow]
    if isinstance(value, list):
        return [f"{indent}{_scalar(key)}:", *(f"{indent}  - {_flow(item)}" for item in value)]
    return [f"{indent}{_scalar(key)}:", *(line for inner, item in value.items() for line in _block(inner, item, depth + 1))]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Text in JSON's quotes is text in YAML, whatever it holds; what reads back as itself stands bare."""
    if not isinstance(value, str):
        return repr(value)
    bare = _PLAIN.fullmatch(value) is not None or re.fullmatch(r"[a-z_]+(\.[A-Za-z0-9_-]+)+", value) is not None
    return value if bare and value.lower() not in _WORDS and value == value.strip() else json.dumps(value, ensure_ascii=False)
