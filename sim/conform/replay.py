"""Compare this package, call by call, with what a real library answered: the replay of golden traces.

A trace is a file of JSON lines, which may be compressed with gzip. The first is the header: which mechanism of which library
and version, and how it was set up. Each other line is one call: when (`at`, whole nanoseconds since the start, never
falling), what (`op`, `args`), and what came back (`out`). Everything in `out` is compared: delays (`..._ns`) within 1 ns,
because Go truncates floats to whole nanoseconds; tokens within 1e-9; gauges in seconds within 1e-9 of their size, because
Go adds them up in random order; all else exactly.

Whatever the format does not know is refused by name rather than passed over: a trace half understood proves nothing.
The mechanisms and their calls stand in `mechanisms.py`.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sim.conform.format import Config, Malformed, Mechanism, Operation
from sim.conform.registry import MECHANISMS
from sim.errors import InputError, nearest

FORMAT: Final = 1
_GZIP: Final = b"\x1f\x8b"

KNOWN_VERSIONS: Final[Mapping[str, tuple[tuple[int, int], tuple[int, int]]]] = {
    "go.etcd.io/etcd/server/v3": ((3, 4), (3, 7)),
    "golang.org/x/time": ((0, 3), (0, 16)),
    "k8s.io/apimachinery": ((0, 28), (0, 37)),
    "k8s.io/apiserver": ((0, 34), (0, 37)),
    "k8s.io/client-go": ((0, 28), (0, 37)),
    "sigs.k8s.io/controller-runtime": ((0, 20), (0, 25)),
}
"""Releases whose sources were compared and found to behave alike, first and last minor included; see sim/clientgo/README.md."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first answer that is not the recorded one."""

    path: str
    line: int
    at: int
    call: str
    field: str
    recorded: object
    ours: object

    def __str__(self) -> str:
        recorded, ours = json.dumps(self.recorded), json.dumps(self.ours)
        return f"{self.path}:{self.line}: at {self.at} ns {self.call}: {self.field} is {recorded} there, {ours} here"


@dataclass(frozen=True, slots=True)
class _Call:
    line: int
    at: int
    op: str
    args: list[object]
    out: dict[str, object]


def replay(path: str | Path) -> Difference | None:
    """Replay the trace at `path` on our mechanisms; None if every answer is the recorded one, else the first that is not.

    Raises InputError, naming file, line and what is allowed, if the file cannot be read, is not such a trace, or uses
    a mechanism, call or library version that is not known.
    """
    name = str(path)
    lines = _lines(name)
    mechanism, configs = _read_header(name, next(lines, None))
    calls = [_read_call(name, number, text) for number, text in lines]
    first: Difference | None = None
    for config in configs:
        difference = _replay(name, mechanism, config, calls)
        if not calls:
            raise InputError(f"{name}:1: a header without a call proves nothing")
        if difference is None:
            return None
        first = first or difference
    return first


def _replay(path: str, mechanism: Mechanism, config: Config, calls: list[_Call]) -> Difference | None:
    try:
        operations = mechanism.build(config)
    except (ValueError, OverflowError, RecursionError) as problem:
        raise InputError(f"{path}:1: config of {mechanism.name}: {problem}") from None
    now = 0
    for call in calls:
        operation = operations.get(call.op)
        if operation is None:
            allowed = ", ".join(sorted(operations))
            hint = nearest(call.op, operations)
            raise InputError(f'{path}:{call.line}: {mechanism.name} has no op "{call.op}"; allowed: {allowed}{hint}')
        if call.at < now:
            raise InputError(f"{path}:{call.line}: at is {call.at}, before the line above ({now}); it must never fall")
        now = call.at
        try:
            operation.prepare(call.out)
            answer = operation.call(now, *operation.read(call.args))
        except (ValueError, OverflowError) as problem:
            raise InputError(f"{path}:{call.line}: {call.op}: {problem}") from None
        _check_fields(path, call, operation, answer)
        for field, recorded in call.out.items():
            if _says_nothing(field, call.out, answer):
                continue
            if not _same(field, recorded, answer.get(field)):
                text = f"{call.op} {' '.join(json.dumps(arg) for arg in call.args)}".rstrip()
                return Difference(path, call.line, now, text, field, recorded, answer.get(field))
    return None


def _says_nothing(field: str, out: Mapping[str, object], answer: Mapping[str, object]) -> bool:
    """Whether the library has no such answer here, so that a trace may say anything that stands for nothing."""
    if field == "key" and out.get("shutdown") is True:
        return True  # a Get that reports shutdown hands out no key; Go returns the zero value
    if field in ("count", "message") and out.get("skip") is True:
        return not out[field]  # a skipped event is nil
    if field == "priority" and out.get("key") is None:
        return True
    if field == "delay_ns" and out.get("ok") is False:
        return out[field] is None
    return field not in answer and out[field] is None


def _check_fields(path: str, call: _Call, operation: Operation, answer: Mapping[str, object]) -> None:
    unknown = [field for field, value in call.out.items() if field not in operation.answers and value is not None]
    if unknown:
        allowed = ", ".join(operation.answers) or "nothing"
        raise InputError(f'{path}:{call.line}: {call.op} does not answer "{unknown[0]}"; allowed in out: {allowed}')
    missing = [field for field in operation.required if field not in call.out and answer.get(field) is not None]
    if missing and not (call.out.get("skip") or call.out.get("shutdown")):
        raise InputError(f'{path}:{call.line}: {call.op} without "{missing[0]}" in out, which it must answer')


def _same(field: str, recorded: object, ours: object) -> bool:
    if isinstance(recorded, bool) or isinstance(ours, bool):
        return recorded is ours
    if isinstance(recorded, int | float) and isinstance(ours, int | float):
        if field.endswith("_ns"):
            return abs(recorded - ours) <= 1
        if field == "tokens":
            return abs(recorded - ours) <= 1e-9
        if field.endswith("_seconds"):
            return abs(recorded - ours) <= 1e-9 * max(1.0, abs(recorded))
    if field == "deltas":
        return _deltas(recorded) == _deltas(ours)
    if field == "obj" and isinstance(recorded, dict) and isinstance(ours, dict):
        return ours == {**dict.fromkeys(ours, ""), **recorded}
    return recorded == ours


def _deltas(deltas: object) -> object:
    """Deltas with null for nothing written as nothing."""
    if deltas is None:
        return []
    if not isinstance(deltas, list):
        return deltas
    return [{**delta, "rv": delta.get("rv") or ""} if isinstance(delta, dict) else delta for delta in deltas]


def _lines(path: str) -> Iterator[tuple[int, str]]:
    try:
        data = Path(path).read_bytes()
        text = (gzip.decompress(data) if data[:2] == _GZIP else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: cannot be read as text: {problem}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _read_header(path: str, first: tuple[int, str] | None) -> tuple[Mechanism, list[Config]]:
    if first is None:
        raise InputError(f"{path}:1: empty; the first line of a golden trace is its header")
    number, text = first
    header = _read_object(path, number, text)
    for field in ("format", "mechanism", "library", "version"):
        if field not in header:
            raise InputError(f'{path}:{number}: header without "{field}"; needed: format, mechanism, library, version')
    if header["format"] is True or header["format"] != FORMAT:
        raise InputError(f"{path}:{number}: format is {json.dumps(header['format'])}; allowed: {FORMAT}")
    name = header["mechanism"]
    if not isinstance(name, str) or name not in MECHANISMS:
        hint = nearest(str(name), MECHANISMS)
        raise InputError(f"{path}:{number}: mechanism is {json.dumps(name)}; allowed: {', '.join(sorted(MECHANISMS))}{hint}")
    release = _release(path, number, header["library"], header["version"])
    mechanism = MECHANISMS[name]
    config = header.get("config")
    if config is not None and not isinstance(config, dict):
        raise InputError(f"{path}:{number}: config is {json.dumps(config)}; it must be an object")
    try:
        return mechanism, mechanism.readings(Config(config or {}, release))
    except Malformed as problem:
        raise InputError(f"{path}:{number}: config of {name}: {problem}") from None


def _release(path: str, number: int, library: object, version: object) -> tuple[int, int]:
    """Major and minor of the library's version. Raises InputError if it is not one whose behaviour is known."""
    known = next((module for module in KNOWN_VERSIONS if library == module or str(library).startswith(module + "/")), None)
    if known is None:
        allowed = ", ".join(KNOWN_VERSIONS)
        raise InputError(f"{path}:{number}: library is {json.dumps(library)}; allowed: {allowed}")
    match = re.match(r"v?(\d+)\.(\d+)(?:\.|$)", str(version))
    oldest, newest = KNOWN_VERSIONS[known]
    if match is None or not oldest <= (int(match[1]), int(match[2])) <= newest:
        span = f"v{oldest[0]}.{oldest[1]} to v{newest[0]}.{newest[1]}"
        raise InputError(f"{path}:{number}: version is {json.dumps(version)}; allowed for {known}: {span}")
    return int(match[1]), int(match[2])


def _read_call(path: str, number: int, text: str) -> _Call:
    line = _read_object(path, number, text)
    at, op, args, out = line.get("at"), line.get("op"), line.get("args", []), line.get("out", {})
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < 2**63:
        raise InputError(f"{path}:{number}: at is {json.dumps(at)}; it must be whole nanoseconds, 0 to 2^63 - 1")
    if not isinstance(op, str):
        raise InputError(f"{path}:{number}: op is {json.dumps(op)}; it must be the name of a call")
    args = [] if args is None else args
    out = {} if out is None else out
    if not isinstance(args, list):
        raise InputError(f"{path}:{number}: args is {json.dumps(args)}; it must be a list")
    if not isinstance(out, dict):
        raise InputError(f"{path}:{number}: out is {json.dumps(out)}; it must be an object")
    unknown = [field for field in line if field not in ("at", "op", "args", "out")]
    if unknown:
        raise InputError(f'{path}:{number}: unknown field "{unknown[0]}"; allowed: at, op, args, out')
    return _Call(number, at, op, args, out)


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is not a number of JSON")


def _read_object(path: str, number: int, text: str) -> dict[str, object]:
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:  # ValueError: JSONDecodeError, _no_number, an int of 4,300 digits
        raise InputError(f"{path}:{number}: not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}:{number}: {text.strip()[:40]} is not a JSON object")
    return value
