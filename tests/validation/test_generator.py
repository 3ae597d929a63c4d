"""The client against a server that speaks just enough HTTP/2: framing, flow control, closed and open loops, failures."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.scenario.load_test import LoadTest
from sim.validation import hpack, messages, wire
from sim.validation.generator import GAVE_UP, Generator
from sim.validation.records import read
from sim.validation.workload import Requests, arrivals, new_key, old_key

HEAD = struct.Struct(">BHBBI")
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8


class Server:
    """Answers each call after `delay` seconds with `answer` (None: trailers only, as a call that failed).

    calls: path and message of each. window: gives the bytes it was sent back at once, or only with `more`.
    """

    def __init__(self, answer: bytes | None = b"ok", delay: float = 0.0, gives: bool = True):
        self.answer, self.delay, self.gives = answer, delay, gives
        self.calls: list[tuple[str, bytes]] = []
        self.taken = 0
        self.connections: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):  # a client that has gone away
            self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        assert file.read(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        connection.sendall(frame(SETTINGS, 0, 0, b"") + frame(PING, 0, 0, b"12345678"))
        paths: dict[int, str] = {}
        bodies: dict[int, bytes] = {}
        while head := file.read(9):
            high, low, kind, flags, stream = HEAD.unpack(head)
            payload = file.read(high << 16 | low)
            assert len(payload) <= 16_384
            if kind == HEADERS:
                paths[stream] = payload[4 : 4 + payload[3]].decode()
            elif kind == DATA:
                self.taken += len(payload)
                bodies[stream] = bodies.get(stream, b"") + payload
                if self.gives:
                    connection.sendall(frame(WINDOW, 0, 0, struct.pack(">I", len(payload))))
                if flags & 1:
                    self.calls.append((paths[stream], bodies[stream][5:]))
                    assert int.from_bytes(bodies[stream][1:5], "big") == len(bodies[stream]) - 5
                    time.sleep(self.delay)
                    connection.sendall(self._reply(stream))

    def _reply(self, stream: int) -> bytes:
        if self.answer is None:
            return frame(HEADERS, 5, stream, b"\x88\x00\x0bgrpc-status\x012")
        message = b"\0" + len(self.answer).to_bytes(4, "big") + self.answer
        half = len(message) // 2
        return (
            frame(HEADERS, 4, stream, b"\x88") + frame(DATA, 0, stream, message[:half]) + frame(DATA, 0, stream, message[half:])
            + frame(HEADERS, 5, stream, b"\x00\x0bgrpc-status\x010")
        )  # fmt: skip

    def close(self) -> None:
        self.listener.close()
        for connection in self.connections:
            connection.close()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload) >> 16, len(payload) & 65_535, kind, flags, stream) + payload


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def load(**fields: Any) -> LoadTest:
    return LoadTest.model_validate({"name": "w", "seconds": 0.3, "warmup_seconds": 0.05, "value_bytes": 10, **fields})


def generate(server: Server, wanted: LoadTest, seed: int = 1, delay: float = 0.0) -> Generator:
    generator = Generator(wanted, seed, [("127.0.0.1", server.port)])
    generator.warm_up()
    server.calls.clear()
    server.delay = delay
    generator.run(time.monotonic_ns())
    for connection in generator.connections:
        connection.close()
    return generator


def test_messages_are_those_of_the_protocol() -> None:
    assert messages.put(b"k", b"vv") == b"\x0a\x01k\x12\x02vv"
    assert messages.put(b"k", b"vv", 300) == b"\x0a\x01k\x12\x02vv\x18\xac\x02"
    assert messages.delete(b"key") == b"\x0a\x03key"
    assert messages.read(b"k", serializable=True) == b"\x0a\x01k\x38\x01"
    assert messages.read(b"k", b"l", limit=5) == b"\x0a\x01k\x12\x01l\x18\x05"
    assert messages.compact(1000) == b"\x08\xe8\x07"
    assert messages.grant(60, 5) == b"\x08\x3c\x10\x05"
    assert messages.text(1, bytes(200))[:3] == b"\x0a\xc8\x01"


def test_an_update_is_the_api_servers_and_as_long_as_the_formula_says() -> None:
    """compare mod(key) = expected; put; else range: facts of `wal.update`, which is what the log holds of it."""
    for expected in (0, 1, 300, 70_000):
        message = messages.update(bytes(40), expected, bytes(300))
        assert len(messages.text(6, message)) == len(messages.text(6, bytes(wal_update_bytes(40, 300, expected))))


def wal_update_bytes(key: int, value: int, expected: int) -> int:
    def framed(size: int) -> int:
        return len(messages.text(1, bytes(size)))

    compare = 2 + framed(key) + 1 + len(messages.varint(expected))
    return framed(compare) + framed(framed(framed(key) + framed(value))) + framed(framed(framed(key)))


def test_the_revision_of_an_answer() -> None:
    header = messages.number(1, 77) + messages.number(2, 88) + messages.number(3, 4711) + messages.number(4, 2)
    assert messages.revision_of(messages.text(1, header) + messages.text(2, b"x")) == 4711
    assert messages.revision_of(b"") == 0


def test_trailers_say_what_failed_in_huffmans_code_or_plainly() -> None:
    """`grpc-status: 8`, `grpc-message` from RFC 7541's own examples of coded strings."""
    plain = b"\x00\x0bgrpc-status\x018\x00\x0cgrpc-message\x09no%20room"
    assert hpack.status(plain) == (8, "no room")
    coded = b"\x88\x00\x88" + bytes.fromhex("9acac8b21234da8f") + b"\x018\x40\x0cgrpc-message\x8c" + bytes.fromhex(
        "f1e3c2e5f23a6ba0ab90f4ff"  # www.example.com: C.4.1
    )
    assert hpack.status(coded) == (8, "www.example.com")
    assert hpack.literals(b"\x88\x0f\x10\x03abc") == {}  # a name of the static table


def test_a_closed_loop_keeps_its_clients_busy(server: Server) -> None:
    found = generate(server, load(clients=4, value_bytes=100))
    assert len(found.records.took) == len(server.calls) > 20
    assert (set(found.records.code), len(found.connections)) == ({0}, 1)
    paths, sent = zip(*server.calls, strict=True)
    assert set(paths) == {messages.PUT}
    assert len(set(sent)) == len(sent)
    assert {len(message) for message in sent} == {len(messages.put(bytes(32), bytes(100)))}
    assert min(found.records.took) > 0


def test_clients_think(server: Server) -> None:
    found = generate(server, load(clients=5, think_seconds=0.05, seconds=0.5))
    assert 5 * 5 <= len(found.records.took) <= 5 * 11  # each once in a little more than 50 ms
    assert max(found.records.began) > 0.4e9


def test_an_open_loop_keeps_its_calendar() -> None:
    wanted = load(rate=200, value_bytes=100, seconds=0.5)
    slow = Server()
    try:
        found = generate(slow, wanted, delay=0.02)  # 50 a second: the queue grows, and stands in the latencies
    finally:
        slow.close()
    assert list(found.records.began) == arrivals(wanted, 1)
    assert np.max(found.records.took) > 0.03e9


def test_kinds_and_keys_are_the_sequences(server: Server) -> None:
    wanted = load(clients=1, op="mix", mix={"put_new": 1, "put_over": 1, "delete": 1, "get": 1, "list": 1, "txn": 1}, key_space=9)
    generate(server, wanted, seed=5)
    methods = {
        "put_new": messages.PUT, "put_over": messages.PUT, "delete": messages.DELETE, "get": messages.RANGE,
        "list": messages.RANGE, "txn": messages.TXN,
    }  # fmt: skip
    sequence = list(islice(Requests(wanted, 5), len(server.calls)))
    assert [path for path, _ in server.calls] == [methods[request.kind] for request in sequence]
    for request, (_, message) in zip(sequence, server.calls, strict=True):
        if request.kind in ("put_new", "put_over", "delete", "get"):
            key = (new_key if request.new else old_key)(wanted, request.key)
            assert messages.find(message, 1) == key


def test_a_transaction_expects_what_the_last_answer_said() -> None:
    won = messages.text(1, messages.number(3, 42)) + messages.number(2, 1)
    server = Server(won)
    try:
        generate(server, load(clients=1, op="txn", key_space=1))
    finally:
        server.close()
    expected = [messages.integer(message, 1, 6) for _, message in server.calls]
    assert expected[:3] == [0, 42, 42]


def test_a_lost_race_learns_the_revision() -> None:
    kv = messages.text(2, messages.number(3, 77))
    lost = messages.text(1, messages.number(3, 90)) + messages.text(3, messages.text(1, kv))
    server = Server(lost)
    try:
        found = generate(server, load(clients=1, op="txn", key_space=1))
    finally:
        server.close()
    assert [messages.integer(message, 1, 6) for _, message in server.calls][:2] == [0, 77]
    assert found.conflicts == len(server.calls)


def test_calls_that_fail_are_counted_and_their_clients_wait() -> None:
    server = Server(None)
    try:
        found = generate(server, load(clients=2, error_backoff_seconds=0.1))
    finally:
        server.close()
    assert set(found.records.code) == {1}
    assert list(found.records.codes) == ["", "UNKNOWN"]
    assert len(found.records.took) <= 2 * 4


def test_what_is_not_answered_is_given_up() -> None:
    server = Server()
    try:
        found = generate(server, load(clients=1, timeout_seconds=0.1), delay=3)
    finally:
        server.close()
    assert list(found.records.codes)[1:] == [GAVE_UP]
    assert len(found.records.took) == 1


def test_the_peers_window_is_respected() -> None:
    server = Server(gives=False)
    connection = wire.Connection("127.0.0.1", server.port)
    try:
        for _ in range(20):
            connection.call(messages.PUT, bytes(9_995))  # 10,000 bytes each with the prefix: six of them fit
        connection.flush()
        answered = 0
        while answered < 6:
            answered += len(connection.receive())
        time.sleep(0.05)
        assert server.taken == 65_535  # the window to the byte
        server.connections[0].sendall(frame(WINDOW, 0, 0, struct.pack(">I", 1 << 20)))
        while answered < 20:
            answered += len(connection.receive())
            connection.flush()
        assert server.taken == 200_000
    finally:
        connection.close()
        server.close()


def test_large_messages_are_cut_into_frames(server: Server) -> None:
    connection = wire.Connection("127.0.0.1", server.port)
    message = np.arange(40_000, dtype=np.uint8).tobytes()
    stream = connection.call(messages.PUT, message)
    connection.flush()
    ended: list[wire.Ended] = []
    while not ended:
        ended = connection.receive()
    assert ended == [(stream, "", b"ok")]
    assert server.calls == [(messages.PUT, message)]
    connection.close()


def test_a_server_that_goes_away_is_an_error(server: Server) -> None:
    connection = wire.Connection("127.0.0.1", server.port)
    limit = time.monotonic() + 5
    while not server.connections and time.monotonic() < limit:
        time.sleep(0.01)
    server.connections[0].shutdown(socket.SHUT_RDWR)
    with pytest.raises((wire.Broken, ConnectionError)):
        read_on(connection)
    connection.close()


def read_on(connection: wire.Connection) -> None:
    while True:
        connection.receive()


def spawn(spec: dict[str, Any], go: bool = True) -> tuple[str, str, int]:
    """What a generator process says before and after it is told to go, and how it ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sim.validation.generator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(spec) + "\n")
    process.stdin.flush()
    first = process.stdout.readline().strip()
    rest, _ = process.communicate(f"{time.monotonic_ns()}\n" if go else None, timeout=30)
    return first, rest.strip(), process.returncode


def test_the_process(server: Server, tmp_path: Path) -> None:
    save = tmp_path / "records"
    wanted = load(clients=2, seconds=0.4)
    spec = {"load": wanted.model_dump(mode="json"), "seed": 1, "index": 0, "of": 1, "endpoints": [["127.0.0.1", server.port]]}
    ready, told, code = spawn({**spec, "save": str(save)})
    found = json.loads(told)
    assert (ready, code) == ("ready", 0)
    rows = read(save, found["requests"], found["codes"])
    assert len(rows) > 0
    assert rows.well.all()
    assert save.stat().st_size == len(rows) * (8 + 8 + 1 + 2)
    assert 0 < found["cpu_seconds"] < 9
    assert spawn({**spec, "save": str(save)}, go=False)[2] == 1  # nobody says go
    server.close()
    told, _, code = spawn({**spec, "endpoints": [["127.0.0.1", 1]], "save": str(save)})
    assert "refused" in json.loads(told)["error"]
    assert code == 1
