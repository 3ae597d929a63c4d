"""What a user did wrong, in one line that names the field or file, the value, and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Bad input: a scenario, an option, a file. The message is one line; the command line exits with 2."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`; did you mean "x"?` when something allowed is close to `name`, else an empty text."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""
