"""Reading YAML 1.2 without traps: `2.37e6` is a number, `off` and a date are text, a key written twice is refused."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sim.errors import InputError


def read_file(path: Path, called: str) -> dict[Any, Any]:
    """The mapping in a YAML file; `called` is what the user called it. Raises InputError in one line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{called}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{called}: is a directory, not a YAML file") from None
    except UnicodeDecodeError:
        raise InputError(f"{called}: is not text in UTF-8") from None
    except OSError as error:
        raise InputError(f"{called}: cannot be read: {error.strerror}") from None
    data = read_text(text, called)
    if not isinstance(data, dict):
        raise InputError(f"{called}: is not a mapping of sections, such as horizon: 24h")
    return data


def read_text(text: str, called: str) -> Any:
    """The value of a YAML text. Raises InputError in one line, with the line where there is one."""
    try:
        return _plain(_parsed(text), ())
    except DuplicateKeyError as error:
        key = str(error.problem).split('"')[1] if '"' in str(error.problem) else "?"
        raise InputError(f'{called}: line {_line(error)}: the key "{key}" is written twice') from None
    except MarkedYAMLError as error:
        raise InputError(f"{called}: line {_line(error)}: is not YAML: {_why(error)}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{called}: is not YAML: {' '.join(str(error).split())}") from None


@lru_cache(64)
def _parsed(text: str) -> Any:
    """What the text holds; `_plain` gives each reader a copy of its own. The same few files are read again and again."""
    return YAML(typ="safe", pure=True).load(text)


def _line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark is not None else 1


def _why(error: MarkedYAMLError) -> str:
    return " ".join(str(error.problem or error.context or "cannot be read").split())


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    """Plain maps, lists and scalars; dates back to text; an alias to something that contains it is refused."""
    if isinstance(value, dict | list) and id(value) in above:
        raise ValueError("an alias contains itself")
    if isinstance(value, dict):
        return {key: _plain(item, (*above, id(value))) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, (*above, id(value))) for item in value]
    return value.isoformat() if isinstance(value, date) else value
