"""From the text of an expression to its tree. Precedence as in PromQL: or, and, comparisons, + -, * /, unary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sim.errors import InputError, nearest
from sim.promql.metrics import Metric, resolve


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True, slots=True)
class Instant:
    """The newest sample of a series. part: of a histogram, else empty."""

    metric: Metric
    part: str


@dataclass(frozen=True, slots=True)
class Window:
    """A function of the samples in a range. seconds: the range; parameter: seconds ahead, of predict_linear."""

    function: str
    metric: Metric
    part: str
    seconds: float
    parameter: float = 0.0


@dataclass(frozen=True, slots=True)
class Quantile:
    """histogram_quantile over a function of buckets."""

    q: float
    buckets: Window


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions and what is between them."""

    operator: str
    left: Node
    right: Node


Node = Number | Instant | Window | Quantile | Binary

OVER_RANGES: Final = (
    "rate", "increase", "irate", "delta", "deriv", "predict_linear", "avg_over_time", "max_over_time", "min_over_time",
)  # fmt: skip
FUNCTIONS: Final = (*OVER_RANGES, "histogram_quantile", "sum")
COMPARISONS: Final = (">", "<", ">=", "<=", "==", "!=")
_LEVELS: Final = (("or",), ("and",), COMPARISONS, ("+", "-"), ("*", "/"))
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<range>\[[^\]]*\])|(?P<labels>\{[^}]*\})|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<sign>>=|<=|==|!=|[-+*/()<>,^%@]))"
)


def parse(text: str) -> Node:
    """The tree of an expression. Raises InputError that names what it does not know."""
    tokens = _tokens(text)
    return _Parser(tokens).whole()


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise InputError(f'"{text[at:].strip()[:20]}" is not PromQL')
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        at = match.end()
    return found


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]]):
        self._tokens = tokens
        self._at = 0

    def whole(self) -> Node:
        if not self._tokens:
            raise InputError("is empty; write an expression, such as workqueue_depth > 100")
        tree = self._binary(0)
        if self._at < len(self._tokens):
            raise self._unexpected()
        return tree

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self._peek() in _LEVELS[level]:
            operator = self._take()
            if self._peek() in ("bool", "on", "ignoring", "group_left", "group_right"):
                raise InputError(f'"{self._peek()}" is not supported after {operator}')
            left = Binary(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Node:
        if self._peek() in ("-", "+"):
            sign = self._take()
            inner = self._unary()
            return Binary("-", Number(0.0), inner) if sign == "-" else inner
        return self._primary()

    def _primary(self) -> Node:
        kind, text = self._next()
        if kind == "number":
            return Number(float(text))
        if text == "(":
            inner = self._binary(0)
            self._expect(")")
            return inner
        if kind != "name":
            self._at -= 1
            raise self._unexpected()
        if self._peek() == "(" or text == "sum":
            return self._call(text)
        metric, part = resolve(text)
        self._no_labels()
        if self._kind() == "range":
            raise InputError(f"{text}{self._peek()} is a range; it stands in a function, such as rate({text}{self._peek()})")
        if part == "bucket":
            raise InputError(f"{text} is many series; write histogram_quantile(0.99, rate({text}[5m]))")
        return Instant(metric, part)

    def _call(self, name: str) -> Node:
        if name not in FUNCTIONS:
            hint = nearest(name, FUNCTIONS) or f"; one of {', '.join(FUNCTIONS)}"
            raise InputError(f"{name}(...) is not supported{hint}")
        if name == "sum":
            self._by()
        self._expect("(")
        if name == "sum":
            inner = self._binary(0)
            self._expect(")")
            self._by()
            return inner
        if name == "histogram_quantile":
            return self._quantile()
        window = self._range(name)
        if name == "predict_linear":
            self._expect(",")
            window = Window(name, window.metric, window.part, window.seconds, self._constant())
        self._expect(")")
        return window

    def _by(self) -> None:
        """`by (le)`: the only label that a series here has."""
        if self._peek() != "by":
            return
        self._take()
        self._expect("(")
        if self._peek() != "le":
            raise InputError(f'sum by ({self._peek()}) is not supported: series have no label but "le"')
        self._take()
        self._expect(")")

    def _quantile(self) -> Node:
        q = self._constant()
        self._expect(",")
        buckets = self._binary(0)
        if not (isinstance(buckets, Window) and buckets.part == "bucket" and buckets.function in ("rate", "increase", "irate")):
            raise InputError("histogram_quantile(...): write histogram_quantile(0.99, rate(<metric>_bucket[5m]))")
        self._expect(")")
        return Quantile(q, buckets)

    def _range(self, function: str) -> Window:
        kind, name = self._next()
        if kind != "name":
            self._at -= 1
            raise self._unexpected()
        metric, part = resolve(name)
        self._no_labels()
        if self._kind() != "range":
            raise InputError(f"{function}({name}): missing its range, such as {function}({name}[5m])")
        return Window(function, metric, part, _seconds(self._take()[1:-1]))

    def _constant(self) -> float:
        """A number that is known beforehand: 0.99, 4 * 3600."""
        tree = self._binary(3)
        return _folded(tree)

    def _no_labels(self) -> None:
        if self._kind() == "labels" and self._peek() != "{}":
            raise InputError(f"{self._peek()}: label matchers are not supported; a run's series have no labels")
        if self._kind() == "labels":
            self._take()

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._unexpected()
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self) -> str:
        return self._next()[1]

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            raise self._unexpected(f'; expected "{sign}"')
        self._take()

    def _unexpected(self, hint: str = "") -> InputError:
        text = self._peek()
        if text in ("unless", "offset", "@", "^", "%"):
            return InputError(f'"{text}" is not supported')
        return InputError(f'"{text}" is not expected here{hint}' if text else f"ends too early{hint}")


def _seconds(text: str) -> float:
    """A range, such as 15m or 1h30m. Raises InputError."""
    found = re.fullmatch(r"(?:\d+(?:ms|[smhdwy]))+", text.strip())
    total = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text)) if found else 0.0
    if not total:
        raise InputError(f'"[{text}]" is not a range; write [5m] or [1h30m]')
    return total


def _folded(tree: Node) -> float:
    match tree:
        case Number(value):
            return value
        case Binary(operator, left, right) if operator in ("+", "-", "*", "/"):
            a, b = _folded(left), _folded(right)
            if operator == "/" and b == 0:
                raise InputError("a division by zero")
            return {"+": a + b, "-": a - b, "*": a * b}.get(operator, a / b if b else 0.0)
        case _:
            raise InputError("a number is expected here, such as 0.99 or 4 * 3600")


def metrics_of(tree: Node) -> set[Metric]:
    """The metrics that an expression looks at."""
    match tree:
        case Instant(metric, _) | Window(_, metric):
            return {metric}
        case Quantile(_, buckets):
            return {buckets.metric}
        case Binary(_, left, right):
            return metrics_of(left) | metrics_of(right)
        case _:
            return set()
