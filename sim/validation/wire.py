"""Unary gRPC calls and watches over HTTP/2, by hand: as much of it as a load needs.

A gRPC library in Python spends a core on some five thousand calls a second, which on a small machine is the server's core. Here
a call is two frames whose header block is constant bytes, and many calls go out in one write. Trailers that came before are not
decoded again.

Sources: RFC 9113 (frames, flow control), RFC 7541 (header blocks), grpc PROTOCOL-HTTP2.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sim.validation import hpack
from sim.validation.messages import WATCH

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_HEAD: Final = struct.Struct(">BHBBI")
"""A frame's head: length (1 + 2 bytes), type, flags, stream."""
_INITIAL_WINDOW: Final = 4
"""SETTINGS_INITIAL_WINDOW_SIZE."""
_FRAME: Final = 16_384
"""Most that a frame may carry unless the peer allows more (SETTINGS_MAX_FRAME_SIZE)."""
_FIRST_WINDOW: Final = 65_535
_LARGEST_WINDOW: Final = (1 << 31) - 1


class Broken(Exception):
    """The connection ended, or the peer speaks something else."""


Ended = tuple[int, str, bytes]
"""A call that is over: its number, why it failed (empty: it did not), its answer."""
_CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


class Connection:
    """One HTTP/2 connection; calls are queued by `call`, leave with `flush`, and come back from `receive` by their number.

    bounded: the peer may have no more under way to us than the windows that HTTP/2 begins with; it is not told what we have read.
    """

    def __init__(self, host: str, port: int, bounded: bool = False):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._authority = f"{host}:{port}".encode()
        self._blocks: dict[str, bytes] = {}
        self._stream = 1
        self._window = self._first = _FIRST_WINDOW  # what the peer takes on this connection, and on a new call, before it says more
        self._waiting: deque[_Half] = deque()
        self._rest = b""
        self._taken = 0
        self._answers: dict[int, bytes] = {}
        self._said: dict[bytes, str] = {}  # what trailers meant that came before
        self.on_event: Callable[[bytes], None] | None = None
        self._watches: set[int] = set()
        # No header table, so that the peer's header blocks are self-contained; and no flow control towards us.
        settings = struct.pack(">HIHI", 1, 0, 4, _FIRST_WINDOW if bounded else _LARGEST_WINDOW)
        self._out = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", _frame(_SETTINGS, 0, 0, settings)]
        if not bounded:
            self._out.append(_frame(_WINDOW, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW)))
        self.flush()

    def call(self, method: str, message: bytes) -> int:
        """Queue a call; its number."""
        return self._begin(method, message, _END_STREAM)

    def watch(self, message: bytes) -> int:
        """Queue a call that stays open; what comes back goes to `on_event` as it comes."""
        stream = self._begin(WATCH, message, 0)
        self._watches.add(stream)
        return stream

    def _begin(self, method: str, message: bytes, end: int) -> int:
        block = self._blocks.get(method)
        if block is None:
            block = self._blocks[method] = _header_block(method.encode(), self._authority)
        stream = self._stream
        self._stream = stream + 2
        size = len(message) + 5
        prefixed = b"\0" + (size - 5).to_bytes(4, "big") + message
        head = _HEAD.pack(0, len(block), _HEADERS, _END_HEADERS, stream) + block
        if size <= _FRAME and size <= self._window and not self._waiting:
            self._window -= size
            self._out.append(head + _HEAD.pack(0, size, _DATA, end, stream) + prefixed)
        else:
            self._out.append(head)
            self._waiting.append(_Half(stream, prefixed, self._first, end))
        return stream

    def flush(self) -> None:
        """Send what is queued, as far as the peer's windows allow."""
        while self._waiting:
            half = self._waiting[0]
            size = min(_FRAME, self._window, half.window, len(half.left))
            if size <= 0:
                break
            part, half.left = half.left[:size], half.left[size:]
            self._window -= size
            half.window -= size
            self._out.append(_frame(_DATA, 0 if half.left else half.end, half.stream, part))
            if not half.left:
                self._waiting.popleft()
        if self._out:
            self.socket.sendall(b"".join(self._out))
            self._out.clear()

    def receive(self) -> list[Ended]:
        """Read once: calls that ended. Raises Broken when the peer is gone."""
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise Broken("etcd closed the connection")
        data = self._rest + chunk if self._rest else chunk
        ended: list[Ended] = []
        answers, at, end = self._answers, 0, len(data)
        while end - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            begin = at + 9
            after = begin + (high << 16 | low)
            if after > end:
                break
            if kind == _DATA:
                self._taken += after - begin
                if stream in self._watches:
                    if self.on_event is not None:
                        self.on_event(data[begin:after])
                else:
                    answers[stream] = answers.get(stream, b"") + data[begin:after]
            elif kind == _HEADERS:
                if flags & _END_STREAM:
                    answer = answers.pop(stream, b"")
                    block = data[begin:after]
                    failed = self._said.get(block)
                    if failed is None:
                        failed = self._said[block] = _failure(block)
                    ended.append((stream, failed, answer[5:]))
            else:
                self._control(kind, flags, stream, data[begin:after], ended)
            at = after
        self._rest = data[at:]
        if self._taken > _LARGEST_WINDOW // 2:
            self._out.append(_frame(_WINDOW, 0, 0, struct.pack(">I", self._taken)))
            self._taken = 0
        return ended

    def ask(self, method: str, message: bytes = b"", within: float = 10.0) -> tuple[str, bytes]:
        """One call and its answer, nothing else going on: why it failed (empty: it did not), and the message."""
        limit = time.monotonic() + within
        wanted = self.call(method, message)
        while True:
            self.flush()
            left = limit - time.monotonic()
            if left <= 0:
                return "no answer", b""
            self.socket.settimeout(left)
            try:
                ended = self.receive()
            except TimeoutError:
                return "no answer", b""
            for stream, failed, answer in ended:
                if stream == wanted:
                    return failed, answer

    def forget(self, stream: int) -> None:
        """Nobody waits for this call any more."""
        self._answers.pop(stream, None)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes, ended: list[Ended]) -> None:
        if kind == _WINDOW:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self._window += more
            for half in self._waiting:
                half.window += more if half.stream == stream else 0
        elif kind == _SETTINGS and not flags & _ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == _INITIAL_WINDOW:
                    for half in self._waiting:
                        half.window += value - self._first
                    self._first = value
            self._out.append(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _RESET:
            self._answers.pop(stream, None)
            ended.append((stream, "RST_STREAM", b""))
        elif kind == _GOAWAY:
            raise Broken("etcd ends the connection")

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@dataclass(slots=True)
class _Half:
    """A message that is not through the peer's windows yet. window: what it takes of this call; end: the last frame's flag."""

    stream: int
    left: bytes
    window: int
    end: int


def _failure(block: bytes) -> str:
    """What trailers say went wrong; empty if nothing did."""
    try:
        code, message = hpack.status(block)
    except (IndexError, ValueError):
        raise Broken("etcd answers with headers that cannot be read") from None
    if not code:
        return ""
    name = _CODES[code] if code < len(_CODES) else str(code)
    return f"{name}: {message}" if message else name


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload) >> 16, len(payload) & 65_535, kind, flags, stream) + payload


def _header_block(path: bytes, authority: bytes) -> bytes:
    """The headers of a call: entries of the static table, and literals that nobody is to remember."""

    def literal(name: bytes, value: bytes) -> bytes:
        return name + bytes([len(value)]) + value

    post, http = b"\x83", b"\x86"
    return (
        post + http + literal(b"\x04", path) + literal(b"\x01", authority) + literal(b"\x0f\x10", b"application/grpc")
        + literal(b"\x00\x02te", b"trailers")
    )  # fmt: skip
