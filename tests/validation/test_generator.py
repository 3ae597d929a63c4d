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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.validation import wire
from sim.validation.generator import Generator
from sim.validation.workload import Workload

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
            return frame(HEADERS, 5, stream, b"\x88")
        message = b"\0" + len(self.answer).to_bytes(4, "big") + self.answer
        half = len(message) // 2
        return (
            frame(HEADERS, 4, stream, b"\x88") + frame(DATA, 0, stream, message[:half]) + frame(DATA, 0, stream, message[half:])
            + frame(HEADERS, 5, stream, b"\x00")
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


def generate(server: Server, workload: Workload, seconds: float = 0.3) -> Generator:
    spec = {"workload": asdict(workload), "seconds": seconds, "seed": 1, "host": "127.0.0.1", "port": server.port}
    generator = Generator(spec)
    generator.warm_up()
    server.calls.clear()
    generator.run()
    for connection in generator.connections:
        connection.close()
    return generator


def test_messages_are_those_of_the_protocol() -> None:
    assert wire.put(b"k", b"vv") == b"\x0a\x01k\x12\x02vv"
    assert wire.put(b"k", b"vv", 300) == b"\x0a\x01k\x12\x02vv\x18\xac\x02"
    assert wire.delete(b"key") == b"\x0a\x03key"
    assert wire.read(b"k") == b"\x0a\x01k\x38\x01"
    assert wire.compact(1000) == b"\x08\xe8\x07"
    assert wire.grant(60, 5) == b"\x08\x3c\x10\x05"
    assert wire.revoke(5) == b"\x08\x05"
    assert wire.text(1, bytes(200))[:3] == b"\x0a\xc8\x01"


def test_the_revision_of_an_answer() -> None:
    header = wire.number(1, 77) + wire.number(2, 88) + wire.number(3, 4711) + wire.number(4, 2)
    assert wire.revision_of(wire.text(1, header) + wire.text(2, b"x")) == 4711
    assert wire.revision_of(b"") == 0


def test_a_closed_loop_keeps_its_clients_busy(server: Server) -> None:
    found = generate(server, Workload("w", clients=4, value_bytes=100))
    assert len(found.latencies) == len(server.calls) > 20
    assert (found.failed, len(found.connections)) == (0, 1)
    assert 0 <= len(found.latencies) - found.on_time <= 4  # those on their way at the end
    paths, messages = zip(*server.calls, strict=True)
    assert set(paths) == {wire.PUT}
    assert len(set(messages)) == len(messages)
    assert {len(message) for message in messages} == {len(wire.put(bytes(32), bytes(100)))}
    assert min(found.latencies) > 0


def test_an_open_loop_keeps_its_calendar() -> None:
    workload = Workload("w", rate=200, value_bytes=100)
    slow = Server(delay=0.02)  # 50 a second: the queue grows, and stands in the latencies
    try:
        found = generate(slow, workload, 0.5)
    finally:
        slow.close()
    assert len(found.latencies) == len(workload.arrivals(0.5, 1))
    assert np.max(found.latencies) > 0.03e9


def test_cycles(server: Server) -> None:
    generate(server, Workload("w", "lease", clients=1, value_bytes=10))
    paths = [path for path, _ in server.calls]
    assert paths[:6] == [wire.GRANT, wire.PUT, wire.REVOKE] * 2
    lease = Workload("w").lease(0)
    assert server.calls[2][1] == wire.revoke(lease)
    assert server.calls[1][1].endswith(wire.number(3, lease))
    server.calls.clear()
    generate(server, Workload("w", "put_delete", clients=1, value_bytes=10))
    (put, message), (delete, key) = server.calls[:2]
    assert (put, delete) == (wire.PUT, wire.DELETE)
    assert message.startswith(key)


def test_compactions_are_at_the_revision_of_the_last_answer() -> None:
    answer = wire.text(1, wire.number(3, 42))
    server = Server(answer)
    try:
        found = generate(server, Workload("w", "put_over", clients=1, value_bytes=10, key_space=5, compact_every=0.1), 0.35)
    finally:
        server.close()
    compactions = [message for path, message in server.calls if path == wire.COMPACT]
    assert compactions == [wire.compact(42)] * 3
    assert found.compactions == 3
    assert len(found.latencies) == len(server.calls) - 3


def test_calls_that_fail_are_counted() -> None:
    server = Server(None)
    try:
        found = generate(server, Workload("w", clients=2, value_bytes=10))
    finally:
        server.close()
    assert found.failed == len(found.latencies) > 0
    assert found.on_time == 0


def test_the_peers_window_is_respected() -> None:
    server = Server(gives=False)
    connection = wire.Connection("127.0.0.1", server.port)
    try:
        for _ in range(20):
            connection.call(wire.PUT, bytes(9_995))  # 10,000 bytes each with the prefix: six of them fit
        connection.flush()
        answered = 0
        while answered < 6:
            answered += len(connection.receive())
        time.sleep(0.05)
        assert server.taken == 60_000
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
    stream = connection.call(wire.PUT, message)
    connection.flush()
    ended: list[tuple[int, bytes | None]] = []
    while not ended:
        ended = connection.receive()
    assert ended == [(stream, b"ok")]
    assert server.calls == [(wire.PUT, message)]
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


def spawn(spec: dict[str, Any], go: str = "go\n") -> tuple[str, str, int]:
    process = subprocess.run(
        [sys.executable, "-m", "sim.validation.generator"], input=json.dumps(spec) + "\n" + go, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    first, _, second = process.stdout.strip().partition("\n")
    return first, second, process.returncode


def test_the_process(server: Server, tmp_path: Path) -> None:
    save = tmp_path / "latencies"
    spec = {"workload": asdict(Workload("w", clients=2, value_bytes=10)), "seconds": 0.2, "seed": 1, "host": "127.0.0.1"}
    ready, told, code = spawn({**spec, "port": server.port, "save": str(save)})
    found = json.loads(told)
    assert (ready, code) == ("ready", 0)
    assert found["requests"] == len(np.fromfile(save, dtype=np.int64)) > 0
    assert 0 < found["cpu_seconds"] < 2
    assert spawn({**spec, "port": server.port, "save": str(save)}, go="")[2] == 1  # nobody says go
    server.close()
    told, _, code = spawn({**spec, "port": 1, "save": str(save)})
    assert "refused" in json.loads(told)["error"]
    assert code == 1
