"""How a golden trace is read: settings, arguments, answers; what does not fit is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.clientgo.keys import ObjectMeta

Answer = dict[str, object]


class Malformed(ValueError):
    """An argument or a setting that does not fit; the message says what would."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: a reader for each argument, how to make it (`call(now, *arguments)`), and the fields of its answer."""

    call: Callable[..., Answer]
    arguments: tuple[Callable[[object], Any], ...] = ()
    answers: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: int = 0
    prepare: Callable[[Answer], None] = lambda out: None

    def read(self, args: list[object]) -> list[Any]:
        """The arguments as the call wants them; a list of objects may also be given flat. Raises Malformed."""
        if self.arguments == (read_objects,) and (len(args) != 1 or isinstance(args[0], dict)):
            args = [args]
        missing = len(self.arguments) - len(args)
        if not 0 <= missing <= self.optional:
            raise Malformed(f"takes {len(self.arguments)} arguments, not {len(args)}")
        args = [*args, *[None] * missing]
        return [read(value) for read, value in zip(self.arguments, args, strict=True)]


Operations = dict[str, Operation]


class Config:
    """A trace's settings by name; spelling is forgiven (`base_ns` and `BaseNs` are one), unknown names are not.

    release: major and minor version of the library, where its behaviour has changed.
    """

    def __init__(self, settings: Mapping[str, object], release: tuple[int, int] = (0, 0)):
        self.release = release
        self._settings = {_plain(name): value for name, value in settings.items()}
        self._names = {_plain(name): name for name in settings}

    def take(self, read: Callable[[object], Any], *names: str, default: object = ...) -> Any:
        """The setting under one of `names`, read. Raises Malformed if it is missing without a default."""
        for name in names:
            if _plain(name) in self._settings:
                return read(self._settings.pop(_plain(name)))
        if default is ...:
            raise Malformed(f'"{names[0]}" is missing')
        return default

    def has(self, name: str) -> bool:
        """Whether there is such a setting."""
        return _plain(name) in self._settings

    def finish(self, *allowed: str) -> None:
        """Raises Malformed if a setting was not taken."""
        for plain in self._settings:
            raise Malformed(f'unknown setting "{self._names[plain]}"; allowed: {", ".join(allowed) or "none"}')

    def with_setting(self, name: str, value: object) -> Config:
        """The same settings with one of them put in."""
        changed = self.copy()
        changed._settings[_plain(name)] = value
        changed._names[_plain(name)] = name
        return changed

    def copy(self) -> Config:
        """The same settings once more, none taken."""
        return Config({self._names[plain]: value for plain, value in self._settings.items()}, self.release)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One row of the table of golden traces."""

    name: str
    build: Callable[[Config], Operations]
    readings: Callable[[Config], list[Config]] = field(default=lambda config: [config])
    """The ways in which a config may be meant, usually one."""


def _plain(name: str) -> str:
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    return bare.removesuffix("ns") or bare


def read_text(value: object) -> str:
    """A text. Raises Malformed."""
    if not isinstance(value, str):
        raise Malformed(f"{value!r} is not a text")
    return value


def read_flag(value: object) -> bool:
    """True or false. Raises Malformed."""
    if not isinstance(value, bool):
        raise Malformed(f"{value!r} is neither true nor false")
    return value


def read_whole(value: object) -> int:
    """A whole number of 64 bits; 10.0 is one. Raises Malformed."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise Malformed(f"{value!r} is not a whole number of 64 bits")
    return value


def read_whole_or_0(value: object) -> int:
    """A whole number; null is 0. Raises Malformed."""
    return 0 if value is None else read_whole(value)


def read_flag_or_false(value: object) -> bool:
    """True or false; null is false. Raises Malformed."""
    return value is not None and read_flag(value)


def read_rate(value: object) -> float:
    """Per second, or "inf". Raises Malformed."""
    if value in ("inf", "Inf", "+Inf"):
        return float("inf")
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        raise Malformed(f'{value!r} is neither a number nor "inf"')
    return float(value)


def read_config(value: object) -> Config:
    """Settings inside of settings. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed(f"{value!r} is not an object")
    return Config(value)


def read_configs(value: object) -> list[Config]:
    """A list of settings. Raises Malformed."""
    if not isinstance(value, list):
        raise Malformed(f"{value!r} is not a list")
    return [read_config(member) for member in value]


def read_object(value: object) -> ObjectMeta:
    """An object {ns, name, uid, rv}. Raises Malformed."""
    fields = read_fields(value, ("ns", "name", "uid", "rv"))
    return ObjectMeta(fields["ns"], fields["name"], fields["uid"], fields["rv"])


def read_objects(value: object) -> list[ObjectMeta]:
    """A list of objects. Raises Malformed."""
    if not isinstance(value, list):
        raise Malformed(f"{value!r} is not a list of objects")
    return [read_object(member) for member in value]


def read_fields(value: object, allowed: tuple[str, ...]) -> dict[str, str]:
    """Texts by name; one that is left out is empty. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed(f"{value!r} is not an object {{{', '.join(allowed)}}}")
    for name, text in value.items():
        if name not in allowed:
            raise Malformed(f'unknown field "{name}"; allowed: {", ".join(allowed)}')
        if not isinstance(text, str):
            raise Malformed(f"{name} is {text!r}, not a text")
    return {name: value.get(name, "") for name in allowed}


def silent(call: Callable[..., None]) -> Callable[..., Answer]:
    """A call that answers nothing."""

    def called(*values: object) -> Answer:
        call(*values)
        return {}

    return called
