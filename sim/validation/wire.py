"""etcd's client protocol by hand, as much of it as a load needs: protobuf messages, and unary gRPC calls over HTTP/2.

A gRPC library in Python spends a core on some five thousand calls a second, which on a small machine is the server's core. Here
a call is two frames whose header block is constant bytes, and many calls go out in one write. Responses are not decoded: a unary
call that succeeded has sent a message before its trailers, one that failed has not.

Sources: RFC 9113 (frames, flow control), RFC 7541 (header blocks), grpc PROTOCOL-HTTP2, etcd api/etcdserverpb/rpc.proto.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from typing import Final

# --- protobuf ---------------------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """A non-negative integer, seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number(field: int, value: int) -> bytes:
    """An integer field; left out where it is 0, as proto3 does."""
    return varint(field << 3) + varint(value) if value else b""


def text(field: int, value: bytes) -> bytes:
    """A field of bytes, or of an encoded message."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def put(key: bytes, value: bytes, lease: int = 0) -> bytes:
    """PutRequest."""
    return text(1, key) + text(2, value) + number(3, lease)


def delete(key: bytes) -> bytes:
    """DeleteRangeRequest of one key."""
    return text(1, key)


def read(key: bytes) -> bytes:
    """RangeRequest of one key, serializable: answered from memory, without raft."""
    return text(1, key) + number(7, 1)


def compact(revision: int) -> bytes:
    """CompactionRequest."""
    return number(1, revision)


def grant(ttl_seconds: int, lease: int) -> bytes:
    """LeaseGrantRequest."""
    return number(1, ttl_seconds) + number(2, lease)


def revoke(lease: int) -> bytes:
    """LeaseRevokeRequest."""
    return number(1, lease)


def revision_of(answer: bytes) -> int:
    """The store's revision, from the header that every answer of the KV service begins with; 0 if it has none."""
    header = _find(answer, 1)
    found = _find(header, 3) if isinstance(header, bytes) else 0
    return found if isinstance(found, int) else 0


def _find(message: bytes, wanted: int) -> int | bytes:
    """The first field of that number: an integer or bytes; 0 where there is none."""
    at = 0
    while at < len(message):
        tag, at = _varint_at(message, at)
        value, at = _varint_at(message, at)
        found: int | bytes = value
        if tag & 7 == 2:
            found, at = message[at : at + value], at + value
        if tag >> 3 == wanted:
            return found
    return 0


def _varint_at(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


# --- gRPC -------------------------------------------------------------------------------------------------------------------

PUT, RANGE, DELETE, COMPACT = (f"/etcdserverpb.KV/{method}" for method in ("Put", "Range", "DeleteRange", "Compact"))
GRANT, REVOKE = (f"/etcdserverpb.Lease/{method}" for method in ("LeaseGrant", "LeaseRevoke"))

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_HEAD: Final = struct.Struct(">BHBBI")
"""A frame's head: length (1 + 2 bytes), type, flags, stream."""
_FRAME: Final = 16_384
"""Most that a frame may carry unless the peer allows more (SETTINGS_MAX_FRAME_SIZE)."""
_FIRST_WINDOW: Final = 65_535
_LARGEST_WINDOW: Final = (1 << 31) - 1


class Broken(Exception):
    """The connection ended, or the peer speaks something else."""


class Connection:
    """One HTTP/2 connection; calls are queued by `call`, leave with `flush`, and come back from `receive` by their number."""

    def __init__(self, host: str, port: int):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._authority = f"{host}:{port}".encode()
        self._blocks: dict[str, bytes] = {}
        self._stream = 1
        self._window = _FIRST_WINDOW  # what the peer takes on this connection before it says more
        self._waiting: deque[tuple[bytes, int]] = deque()  # encoded calls, and what each takes of the window
        self._out: list[bytes] = []
        self._rest = b""
        self._answers: dict[int, bytes] = {}
        # No header table, so that the peer's header blocks are self-contained; and no flow control towards us.
        settings = struct.pack(">HIHI", 1, 0, 4, _LARGEST_WINDOW)
        self._out = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", _frame(_SETTINGS, 0, 0, settings),
            _frame(_WINDOW, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW)),
        ]  # fmt: skip
        self.flush()

    def call(self, method: str, message: bytes) -> int:
        """Queue a call; its number."""
        block = self._blocks.get(method)
        if block is None:
            block = self._blocks[method] = _header_block(method.encode(), self._authority)
        stream = self._stream
        self._stream = stream + 2
        size = len(message) + 5
        prefixed = b"\0" + (size - 5).to_bytes(4, "big") + message
        if size <= _FRAME:
            data = _HEAD.pack(0, size, _DATA, _END_STREAM, stream) + prefixed
        else:
            parts = [prefixed[at : at + _FRAME] for at in range(0, size, _FRAME)]
            data = b"".join(_frame(_DATA, _END_STREAM if part is parts[-1] else 0, stream, part) for part in parts)
        encoded = _HEAD.pack(0, len(block), _HEADERS, _END_HEADERS, stream) + block + data
        if size <= self._window and not self._waiting:
            self._window -= size
            self._out.append(encoded)
        else:
            self._waiting.append((encoded, size))
        return stream

    def flush(self) -> None:
        """Send what is queued, as far as the peer's window allows."""
        while self._waiting and self._waiting[0][1] <= self._window:
            encoded, size = self._waiting.popleft()
            self._window -= size
            self._out.append(encoded)
        if self._out:
            self.socket.sendall(b"".join(self._out))
            self._out.clear()

    def receive(self) -> list[tuple[int, bytes | None]]:
        """Read once: calls that ended, each with its answer, or None if it failed. Raises Broken when the peer is gone."""
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise Broken("etcd closed the connection")
        data = self._rest + chunk if self._rest else chunk
        answers, ended, at, end = self._answers, [], 0, len(data)
        while end - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            begin = at + 9
            after = begin + (high << 16 | low)
            if after > end:
                break
            if kind == _DATA:
                answers[stream] = answers.get(stream, b"") + data[begin:after]
            elif kind == _HEADERS:
                if flags & _END_STREAM:
                    answer = answers.pop(stream, None)
                    ended.append((stream, None if answer is None else answer[5:]))
            else:
                self._control(kind, flags, stream, data[begin:after], ended)
            at = after
        self._rest = data[at:]
        return ended

    def _control(self, kind: int, flags: int, stream: int, payload: bytes, ended: list[tuple[int, bytes | None]]) -> None:
        if kind == _WINDOW:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            self._out.append(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _RESET:
            self._answers.pop(stream, None)
            ended.append((stream, None))
        elif kind == _GOAWAY:
            raise Broken("etcd ends the connection")

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


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
