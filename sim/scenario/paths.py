"""Dotted paths into a scenario's plain data: `controllers.zero-pod-writer.client.qps`; lists by index.

A path may add a new name at its end (validation decides whether it may stand there); on its way only one that cannot be a
mistake: a priority level.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from sim.errors import InputError
from sim.scenario.apiserver import LEVELS
from sim.scenario.distribution import FORM_KEYS
from sim.scenario.refusal import join, shown, unknown

Data = dict[str, Any]


def find(data: Data, path: str) -> tuple[Any] | None:
    """What stands at the path, alone in a tuple; None for a path that leads nowhere. An optional field that is not set counts."""
    here: Any = data
    for part in path.split("."):
        found = _step(here, part)
        if found is None:
            return None
        here = found[0]
    return (here,)


def exists(data: Data, path: str) -> bool:
    """Whether something stands at the path."""
    return find(data, path) is not None


def replace(data: Data, path: str, value: Any) -> Data:
    """The same data with another value at the path, or without what stands there for None; `data` stays as it was.

    Raises InputError for a path that leads nowhere.
    """
    if not path or not all(path.split(".")):
        raise InputError(f"{shown(path)} is not a path; write it such as etcd.members.a.disk")
    replaced: Data = _replaced(data, path.split("."), value, "")
    return replaced


def missing(data: Data, path: str) -> str:
    """Where a path that does not exist goes wrong: `etcd.mebers: unknown key; did you mean "members"?`."""
    here: Any = data
    walked = ""
    for part in path.split("."):
        found = _step(here, part)
        if found is None:
            return f"{join(walked, part)}: {_no_step(here, part, walked)}"
        walked = join(walked, part)
        here = found[0]
    return f"{walked}: exists"


def _replaced(here: Any, parts: list[str], value: Any, walked: str) -> Any:
    part, rest = parts[0], parts[1:]
    at = join(walked, part)
    if isinstance(here, list) and part.isdecimal() and int(part) < len(here):
        inner = _replaced(here[int(part)], rest, value, at) if rest else copy.deepcopy(value)
        return [*here[: int(part)], inner, *here[int(part) + 1 :]]
    if not isinstance(here, Mapping):
        raise InputError(f"{at}: {_no_step(here, part, walked)}")
    if part not in here and (value is None or (rest and part not in _possible(walked))):
        raise InputError(f"{at}: {_no_step(here, part, walked)}{'' if here or _possible(walked) else _whole(at, rest, value)}")
    if not rest:
        kept = {key: item for key, item in here.items() if key != part or value is not None}
        return kept if value is None else {**kept, part: copy.deepcopy(value)}
    below = {} if here.get(part) is None else here[part]
    return {**here, part: _replaced(below, rest, value, at)}


def _whole(at: str, rest: list[str], value: Any) -> str:
    """How to write what is not there yet."""
    inner = value
    for part in reversed(rest):
        inner = {part: inner}
    return "" if value is None or not rest else f"; write it whole: {at}={shown(inner)[1:-1]}"


def _step(here: Any, part: str) -> tuple[Any] | None:
    if isinstance(here, Mapping) and part in here:
        return (here[part],)
    if isinstance(here, list) and part.isdecimal() and int(part) < len(here):
        return (here[int(part)],)
    return None


def _possible(walked: str) -> tuple[str, ...]:
    """The names that may stand in the map at a path, where they are known beforehand."""
    return LEVELS if walked.rpartition(".")[2] == "flow_control" else ()


def _no_step(here: Any, part: str, walked: str) -> str:
    if isinstance(here, Mapping):
        allowed = [str(key) for key in here] or list(_possible(walked))
        return unknown(part, dict.fromkeys([*allowed, *_possible(walked)])) if allowed and part not in allowed else "is not there"
    if isinstance(here, list):
        return f"unknown index; there are {len(here)} elements, counted from 0"
    return f"does not exist; above it stands the single value {shown(here)}"


def merge(below: Any, above: Any) -> Any:
    """`above` laid over `below`, mapping by mapping; `null` takes out what was below.

    What is one value though written as a mapping is replaced, not mixed: a distribution, another `kind` of something.
    """
    if not isinstance(below, Mapping) or not isinstance(above, Mapping) or _one_value(below, above):
        return copy.deepcopy(above)
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged[key], value) if key in merged else copy.deepcopy(value)
    return merged


def _one_value(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> bool:
    if FORM_KEYS & above.keys() or FORM_KEYS & below.keys():
        return True
    return "kind" in above and "kind" in below and above["kind"] != below["kind"]
