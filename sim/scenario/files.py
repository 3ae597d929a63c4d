"""Scenario files: found by name or path, extended, validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim import data
from sim.errors import InputError, nearest
from sim.scenario.device import is_path, load_profile
from sim.scenario.model import Scenario, from_dict
from sim.scenario.paths import merge
from sim.scenario.refusal import join
from sim.scenario.yaml12 import read_file, read_text


def load(name_or_path: str | Path, set: Mapping[str, Any] | None = None) -> Scenario:
    """The scenario of that name, or in that file, with the values of `set` written at their dotted paths.

    What a scenario extends is resolved; a device profile given by path is read. Values of `set` win over variants.
    Raises InputError in one line for anything that is wrong.
    """
    raw = _extended(str(name_or_path), Path(), ())
    scenario = from_dict(raw)
    return scenario.with_(set) if set else scenario


def scenarios() -> list[tuple[str, str]]:
    """Name and description of every scenario that comes with the package."""
    return [(name, str(_about(name))) for name in data.names("scenarios")]


def parse_assignment(text: str) -> tuple[str, Any]:
    """`etcd.quota=8GiB` as path and value; the value is read as YAML 1.2, so `2.37e6` is a number and `off` a word."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise InputError(f'"{text}" is not an assignment; write path=value, such as etcd.quota=8GiB')
    return path.strip(), read_text(value, path.strip())


def _about(name: str) -> str:
    return str(read_file(data.file("scenarios", name), name).get("about", ""))


def _extended(called: str, folder: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """The mapping in a scenario file, laid over what it extends."""
    path = _find(called, folder)
    resolved = path.resolve()
    if resolved in above:
        chain = " -> ".join(item.stem for item in (*above[above.index(resolved) :], resolved))
        raise InputError(f'extends: "{called}" extends itself: {chain}')
    raw = read_file(path, called)
    base = raw.pop("extends", None)
    raw.setdefault("name", path.stem)
    for section in ("etcd", "machines", "variants"):
        if section in raw:
            raw[section] = _with_profiles(raw[section], path.parent, section)
    if base is None:
        return raw
    if not isinstance(base, str):
        raise InputError(f'extends: "{base}" is not the name of a scenario or a path to its file')
    return merge(_extended(base, path.parent, (*above, resolved)), raw)  # type: ignore[no-any-return]


def _find(called: str, folder: Path) -> Path:
    if is_path(called):
        return folder / Path(called).expanduser()
    known = data.names("scenarios")
    if called not in known:
        hint = nearest(called, known) or f"; one of {', '.join(known)}"
        raise InputError(f'"{called}" is not a scenario{hint}, or a path to a YAML file')
    return data.file("scenarios", called)


def _with_profiles(value: Any, folder: Path, at: str) -> Any:
    """Device profiles that a file names by path (relative to itself), read now: what is kept stands for itself."""
    if not isinstance(value, dict):
        return value
    read: dict[Any, Any] = {}
    for key, item in value.items():
        here = join(at, key)
        if here.endswith((".disk", ".profile")) and isinstance(item, str) and is_path(item):
            try:
                read[key] = load_profile(item, folder).model_dump(mode="json")
            except InputError as error:
                raise InputError(f"{here}: {error}") from None
        else:
            read[key] = _with_profiles(item, folder, here)
    return read
