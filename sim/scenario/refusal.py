"""Refusing input in one line: the field's path, the value, what is allowed and the nearest right name.

Validators raise `refused(...)`; `problems_of` and `refusal` turn whatever pydantic collected into one `InputError`. Parts
of a location in angle brackets are pydantic's branch of a union, not something the user wrote: they are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from sim.errors import InputError, nearest

Problem = tuple[str, str]
"""(path, what is wrong there)"""

_LONGEST: Final = 60
_TYPES: Final[dict[str, str]] = {
    "bool_type": "is not true or false",
    "bool_parsing": "is not true or false",
    "dict_type": "is not a mapping",
    "list_type": "is not a list",
    "tuple_type": "is not a list",
    "string_type": "is not text; write it in quotes",
}


def refused(message: str, at: str = "") -> PydanticCustomError:
    """An error for a validator to raise; `at` names the key inside the validated value that is to blame."""
    return PydanticCustomError("refused", "{message}", {"message": message, "at": at})


def shown(value: object, longest: int | None = _LONGEST) -> str:
    """A value as the user wrote it, in quotes and cut to a readable length (None: whole)."""
    match value:
        case bool():
            text = "true" if value else "false"
        case None:
            text = "null"
        case Mapping():
            text = "{" + ", ".join(f"{key}: {shown(item, longest)[1:-1]}" for key, item in value.items()) + "}"
        case list() | tuple():
            text = "[" + ", ".join(shown(item, longest)[1:-1] for item in value) + "]"
        case _:
            text = str(value)
    text = " ".join(text.split("\n"))
    if longest is not None and len(text) > longest:
        text = f"{text[: longest - 3]}..."
    return f'"{text}"'


def unknown(name: object, allowed: Iterable[str]) -> str:
    """`unknown key; did you mean "x"?`, or all that is allowed where nothing is near."""
    allowed = list(allowed)
    return "unknown key" + (nearest(str(name), allowed) or f"; allowed: {', '.join(allowed) or 'none'}")


def undeclared(name: str, what: str, declared: Iterable[str]) -> str:
    """`"podd" is not a declared object; did you mean "pod"?`, or all that are declared."""
    declared = list(declared)
    hint = nearest(name, declared) or f"; declared: {', '.join(declared) or 'none'}"
    return f"{shown(name)} is not a declared {what}{hint}"


def join(*parts: object) -> str:
    """A dotted path, without empty parts and without pydantic's own."""
    names = (str(part) for part in parts)
    return ".".join(name for name in names if name and name != "[key]" and not (name[0] == "<" and name[-1] == ">"))


def refusal(problems: list[Problem], prefix: str = "") -> InputError:
    """One line of many problems: the first, and how many more."""
    path, message = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InputError(" ".join(f"{prefix}{path}: {message}{more}".splitlines()))


def problems_of(error: ValidationError) -> list[Problem]:
    """What pydantic collected, in our words."""
    return [_problem(details) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails) -> Problem:
    context: dict[str, Any] = details.get("ctx", {})
    kind, value = details["type"], details["input"]
    path = join(*details["loc"], context.get("at", "") if kind == "refused" else "")
    if kind == "refused":
        return path, context["message"]
    if kind == "value_error":
        return path, str(context["error"])
    if kind == "missing":
        return path, "missing; it is required"
    if kind == "literal_error":
        allowed = context["expected"].replace("'", "").replace(" or ", ", ")
        return path, f"{shown(value)} is not allowed; one of {allowed}"
    return path, f"{shown(value)} {_TYPES.get(kind, 'is not allowed; ' + details['msg'])}"
