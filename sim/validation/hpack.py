"""What a failed call says of itself: `grpc-status` and `grpc-message` out of an HTTP/2 header block.

The peer is told to keep no header table, so a block stands for itself. Strings may be in RFC 7541's Huffman code, which is
canonical: its code lengths decide it.

Source: RFC 7541, sections 5 and 6 and appendix B.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

_LENGTHS: Final = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABABABBBACCBBBABCBAABCCCCCKGJI"
    "XPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)
"""Bits of the code of each byte, and of the end: `A` is 5."""


def _codes() -> dict[tuple[int, int], int]:
    """(bits, code) to byte: codes rise by length, then by byte."""
    lengths = [ord(letter) - ord("A") + 5 for letter in _LENGTHS]
    found, code, before = {}, 0, 0
    for symbol in sorted(range(len(lengths)), key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - before
        before = lengths[symbol]
        found[before, code] = symbol
        code += 1
    return found


_CODES: Final = _codes()


def _huffman(data: bytes) -> bytes:
    decoded, code, bits = bytearray(), 0, 0
    for byte in data:
        for place in range(7, -1, -1):
            code, bits = code << 1 | byte >> place & 1, bits + 1
            symbol = _CODES.get((bits, code))
            if symbol is not None and symbol < 256:
                decoded.append(symbol)
                code = bits = 0
    return bytes(decoded)  # what is left is padding


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    most = (1 << prefix) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        value += (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    coded = block[at] & 128
    size, at = _integer(block, at, 7)
    found = block[at : at + size]
    return (_huffman(found) if coded else found), at + size


def literals(block: bytes) -> dict[bytes, bytes]:
    """The headers whose names are spelled out; those of the static table are left out. Raises IndexError for half a block."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(block):
        first = block[at]
        if first & 128:  # indexed
            _, at = _integer(block, at, 7)
            continue
        if first & 224 == 32:  # a change of the table's size
            _, at = _integer(block, at, 5)
            continue
        index, at = _integer(block, at, 6 if first & 64 else 4)
        name = b""
        if not index:
            name, at = _text(block, at)
        value, at = _text(block, at)
        if name:
            found[name] = value
    return found


def status(block: bytes) -> tuple[int, str]:
    """gRPC's code and message in a call's trailers; code 2 (unknown) where there is none."""
    headers = literals(block)
    code = headers.get(b"grpc-status", b"2")
    return int(code), unquote_to_bytes(headers.get(b"grpc-message", b"")).decode(errors="replace")
