"""Record what a real etcd writes to its WAL, as golden files for `test_wal_bytes.py`.

    python tests/etcd/record_wal.py --etcd /path/to/etcd --seed 10 --id-bytes 10 --head
    python tests/etcd/record_wal.py --etcd /path/to/etcd --seed 9 --id-bytes 9

Starts one etcd on loopback, sends a few hundred requests of every kind one after the other through its JSON gateway, lets the raft
index pass 16,384 (a longer varint) and the first segment fill, stops it, and reads its files. Writes:

    etcd-VERSION-idN.jsonl      a header line, then one line per WAL record (see `describe`)
    etcd-VERSION-idN-head.wal   with --head: the first records of the first segment as they are, for the parser

The parameters of an entry are those of the request that was sent, not read from the file: the file gives sizes only.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import socket
import string
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = {3: "range", 4: "put", 5: "delete_range", 6: "txn", 7: "compaction", 8: "lease_grant", 9: "lease_revoke"}
"""Fields of etcdserverpb.InternalRaftRequest."""
METADATA, ENTRY, STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5
"""Record types (server/storage/wal/wal.go)."""
HEAD_BYTES = 40_000


# --- a real etcd -------------------------------------------------------------------------------------------------------------


class Etcd:
    """One etcd process on loopback, spoken to through its JSON gateway (`/v3/...`). under: a command to run it with."""

    def __init__(self, binary: str, *flags: str, under: Sequence[str] = ()) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="record-")
        self.data = Path(self.folder.name) / "data"
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.address = client.removeprefix("http://")
        self.process = subprocess.Popen(
            [*under, binary, "--name=golden", f"--data-dir={self.data}", "--log-level=error", "--logger=zap",
             f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
             f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=golden={peer}", *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.connection = http.client.HTTPConnection(self.address, timeout=20)
        self.version = ""
        for _ in range(200):
            # The cluster version is agreed on some time after the start, through one more entry.
            with suppress(OSError, http.client.HTTPException):
                version = json.loads(self._exchange("GET", "/version", b""))
                if version["etcdcluster"] != "not_decided":
                    self.version = version["etcdserver"]
                    return
            self.connection.close()
            time.sleep(0.05)
        self.close()
        raise TimeoutError("etcd does not answer")

    def __enter__(self) -> Etcd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Ask it to end and wait; its files stay until `close`."""
        self.process.terminate()
        self.process.wait(timeout=20)

    def close(self) -> None:
        """Stop it and remove its files."""
        self.stop()
        self.folder.cleanup()

    def _exchange(self, method: str, path: str, body: bytes) -> bytes:
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise ValueError(f"{path}: {content.decode()}")
        return content

    def call(self, method: str, **message: Any) -> Any:
        """One request; bytes must be base64 already. Raises ValueError with etcd's message if it is refused."""
        return json.loads(self._exchange("POST", f"/v3/{method}", json.dumps(message).encode()))

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        for line in self._exchange("GET", "/metrics", b"").decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise KeyError(name)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- its WAL -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One record of a WAL file. frame: all its bytes, length field and padding included; data: its payload."""

    kind: int
    frame: int
    crc_bytes: int
    data: bytes


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes, int]]:
    """Field number, value and length of the encoded value of each field of a protobuf message."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        begin = at
        value, at = varint(data, at)
        if tag & 7 == 0:
            yield tag >> 3, value, at - begin
        elif tag & 7 == 2:
            yield tag >> 3, data[at : at + value], value
            at += value
        else:
            raise ValueError(f"wire type {tag & 7}")


def records(content: bytes) -> Iterator[Record]:
    """The records of a WAL file, up to the zero tail."""
    at = 0
    while at + 8 <= len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        if not length:
            return
        size, padding = length & ((1 << 56) - 1), (length >> 56) & 7
        found = {number: (value, width) for number, value, width in fields(content[at + 8 : at + 8 + size])}
        kind, data = found[1][0], found.get(3, (b"", 0))[0]
        assert isinstance(kind, int)
        assert isinstance(data, bytes)
        yield Record(kind, 8 + size + padding, found[2][1], data)
        at += 8 + size + padding


def describe(record: Record) -> dict[str, int | str]:
    """A record by its sizes, as in the golden file: the lengths of all varints that are not a function of the request."""
    line: dict[str, int | str] = {"record": record.kind, "frame": record.frame, "crc": record.crc_bytes}
    if record.kind == STATE:
        values = {number: (value, width) for number, value, width in fields(record.data)}
        return line | {"term": int(values[1][0]), "vote": values[2][1], "commit": int(values[3][0])}
    if record.kind != ENTRY:
        return line | {"data": len(record.data)}
    entry = {number: value for number, value, _ in fields(record.data)}
    line |= {"term": int(entry[2]), "index": int(entry[3])}
    data = entry.get(4, b"")
    assert isinstance(data, bytes)
    if entry[1] != 0 or not data:
        return line | {"kind": "config" if data else "empty", "data": len(data)}
    request = {number: value for number, value, _ in fields(data)}
    header = request.get(100)
    if not isinstance(header, bytes):  # a v2 request, as at a member's start: its fields have other meanings
        return line | {"kind": "v2", "data": len(data)}
    kind = next(KINDS[number] for number in request if number in KINDS)
    return line | {"kind": kind, "data": len(data), "id": next(width for number, _, width in fields(header) if number == 1)}


# --- the requests ------------------------------------------------------------------------------------------------------------


class Client:
    """Sends requests and remembers the parameters of each that went through raft, in order."""

    def __init__(self, etcd: Etcd, seed: int) -> None:
        self.etcd = etcd
        self.random = random.Random(seed)
        self.sent: list[dict[str, Any]] = []
        self.mod: dict[bytes, int] = {}
        self.leases: list[int] = []
        self.revision = 1

    def key(self, length: int | None = None) -> bytes:
        length = length or self.random.randint(5, 200)
        return "".join(self.random.choices(string.ascii_lowercase + "/", k=length)).encode()

    def value(self, small: bool) -> bytes:
        draw = self.random.random()
        top = 300 if small else 20_000
        size = 0 if draw < 0.08 else int(top ** self.random.random()) if draw < 0.7 else self.random.randint(0, top)
        return self.random.randbytes(size)

    def known(self) -> bytes:
        return self.random.choice(sorted(self.mod))

    def lease(self) -> int:
        return self.random.choice(self.leases) if self.leases and self.random.random() < 0.3 else 0

    def note(self, op: str, **parameters: Any) -> None:
        self.sent.append({"op": op} | {name: value for name, value in parameters.items() if value})

    def put(self, key: bytes, value: bytes, lease: int = 0) -> None:
        answer = self.etcd.call("kv/put", **self._put(key, value, lease))
        self.revision = self.mod[key] = int(answer["header"]["revision"])
        self.note("put", key=len(key), value=len(value), lease=lease)

    @staticmethod
    def _put(key: bytes, value: bytes, lease: int) -> dict[str, str]:
        return {"key": b64(key), "value": b64(value)} | ({"lease": str(lease)} if lease else {})

    def _txn(self, key: bytes, expected: int, success: dict[str, Any], get: bool) -> bool:
        compare = {"result": "EQUAL", "target": "MOD", "key": b64(key), "mod_revision": str(expected)}
        failure = [{"request_range": {"key": b64(key)}}] if get else []
        answer = self.etcd.call("kv/txn", compare=[compare], success=[success], failure=failure)
        self.revision = int(answer["header"]["revision"])
        return bool(answer.get("succeeded"))

    def create(self, key: bytes, value: bytes, lease: int = 0) -> None:
        if won := self._txn(key, 0, {"request_put": self._put(key, value, lease)}, get=False):
            self.mod[key] = self.revision
        self.note("create", key=len(key), value=len(value), lease=lease, lost=not won)

    def update(self, key: bytes, value: bytes, expected: int, lease: int = 0) -> None:
        if won := self._txn(key, expected, {"request_put": self._put(key, value, lease)}, get=True):
            self.mod[key] = self.revision
        self.note("update", key=len(key), value=len(value), lease=lease, expected=expected, lost=not won)

    def delete(self, key: bytes, expected: int) -> None:
        if won := self._txn(key, expected, {"request_delete_range": {"key": b64(key)}}, get=True):
            del self.mod[key]
        self.note("delete", key=len(key), expected=expected, lost=not won)

    def delete_range(self, key: bytes) -> None:
        self.etcd.call("kv/deleterange", key=b64(key))
        self.mod.pop(key, None)
        self.note("delete_range", key=len(key))

    def lease_grant(self, ttl: int, lease: int) -> None:
        self.leases.append(int(self.etcd.call("lease/grant", TTL=str(ttl), ID=str(lease))["ID"]))
        self.note("lease_grant", ttl=ttl, lease=self.leases[-1])

    def lease_revoke(self) -> None:
        lease = self.leases.pop(0)
        self.etcd.call("lease/revoke", ID=str(lease))
        # Its keys are gone; which ones nobody remembers here, so later races are lost more often. That is welcome.
        self.note("lease_revoke", lease=lease)

    def compact(self, physical: bool) -> None:
        with suppress(ValueError):  # compacted to there before: refused when it is applied, so it is in the WAL too
            self.etcd.call("kv/compaction", revision=str(self.revision), physical=physical)
        self.note("compaction", revision=self.revision, physical=physical)

    def any(self, small: bool) -> None:
        """One request of a random kind."""
        draw = self.random.random()
        if draw < 0.25 or len(self.mod) < 3:
            self.put(self.key(), self.value(small), self.lease())
        elif draw < 0.4:
            self.create(self.key() if self.random.random() < 0.8 else self.known(), self.value(small), self.lease())
        elif draw < 0.6:
            key = self.known()
            stale = self.random.random() < 0.3
            self.update(key, self.value(small), self.mod[key] - stale or 1, self.lease())
        elif draw < 0.72:
            key = self.known()
            self.delete(key, self.mod[key] - (self.random.random() < 0.3) or 1)
        elif draw < 0.8:
            self.delete_range(self.known() if self.random.random() < 0.7 else self.key())
        elif draw < 0.9 or not self.leases:
            ttl = self.random.choice([60, 3_600, 100_000, 3_000_000])
            self.lease_grant(ttl, self.random.choice([0, self.random.getrandbits(20) + 1, self.random.getrandbits(63)]))
        elif draw < 0.95:
            self.lease_revoke()
        elif self.mod:
            self.compact(self.random.random() < 0.5)


TABLE: tuple[tuple[str, dict[str, int]], ...] = (
    ("put", {"key": 27, "value": 256}), ("put", {"key": 27, "value": 1_024}), ("put", {"key": 27, "value": 8_192}),
    ("put", {"key": 27, "value": 256, "lease": 1}), ("create", {"key": 39, "value": 1_000}),
    ("create", {"key": 40, "value": 1_000}), ("create", {"key": 27, "value": 1_000}), ("update", {"key": 27, "value": 1_000}),
    ("update_lost", {"key": 39, "value": 1_000}), ("delete", {"key": 27}), ("delete_range", {"key": 27}),
    ("lease_grant", {}), ("lease_revoke", {}),
)  # fmt: skip
"""Requests of round sizes; 40-byte keys besides 39 because a published table calls a 40-byte one 39."""


def send_table(client: Client, each: int) -> None:
    """The requests of TABLE, `each` times."""
    for op, sizes in TABLE:
        for _ in range(each):
            key = client.key(sizes.get("key", 27))
            value = client.random.randbytes(sizes.get("value", 0))
            if op == "put":
                client.put(key, value, client.leases[-1] if sizes.get("lease") else 0)
            elif op == "create":
                client.create(key, value)
            elif op in ("update", "update_lost"):
                client.put(key, b"x")
                client.update(key, value, client.mod[key] - (op == "update_lost"))
            elif op == "delete":
                client.put(key, b"x")
                client.delete(key, client.mod[key])
            elif op == "delete_range":
                client.delete_range(key)
            elif op == "lease_grant":
                client.lease_grant(3_600, client.random.getrandbits(62) | 1 << 62)
            else:
                client.lease_revoke()


def pass_index(etcd: Etcd, puts: int) -> None:
    """Many small puts at once, to raise the raft index."""

    def some(count: int) -> None:
        connection = http.client.HTTPConnection(etcd.address, timeout=20)
        body = json.dumps({"key": b64(b"index"), "value": b64(b"x")}).encode()
        for _ in range(count):
            connection.request("POST", "/v3/kv/put", body)
            connection.getresponse().read()
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(some, [puts // 8] * 8))


def member_with(binary: str, id_bytes: int) -> Etcd:
    """An etcd whose request ids take that many bytes: their highest bit is bit 15 of the member id (pkg/idutil)."""
    for attempt in range(30):
        etcd = Etcd(binary, f"--initial-cluster-token=golden-{attempt}")
        member = int(etcd.call("maintenance/status")["header"]["member_id"])
        if (10 if member >> 15 & 1 else 9) == id_bytes:
            return etcd
        etcd.close()
    raise RuntimeError("no such member id")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--etcd", required=True, help="path of the etcd binary")
    arguments.add_argument("--out", type=Path, default=Path("data/golden/wal"))
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--id-bytes", type=int, default=10, choices=[9, 10], help="varint of the request ids")
    arguments.add_argument("--head", action="store_true", help="keep the raw beginning of the first segment too")
    options = arguments.parse_args()

    with member_with(options.etcd, options.id_bytes) as etcd:
        client = Client(etcd, options.seed)
        client.lease_grant(3_600, 0)
        client.lease_grant(3_600, 1 << 62 | 12345)
        for _ in range(60):
            client.any(small=True)
        for _ in range(140):
            client.any(small=False)
        send_table(client, 3)
        skipped_from = len(client.sent)
        pass_index(etcd, 16_384)
        for _ in range(200):
            client.any(small=False)
        send_table(client, 3)
        filled_from = len(client.sent)
        for _ in range(66):
            etcd.call("kv/put", key=b64(b"fill"), value=b64(bytes(1_000_000)))
        etcd.stop()
        segments = [path.read_bytes() for path in sorted((etcd.data / "member" / "wal").glob("*.wal"))]
        version = etcd.version

    lines, skipped, filled = [], 0, 0
    sent = iter(enumerate(client.sent))
    at, parameters = next(sent)
    for record in records(segments[0]):
        line = describe(record)
        if record.kind == ENTRY and line["kind"] in KINDS.values():
            if at == skipped_from and skipped < 16_384:
                skipped += 1
                continue
            if at < filled_from:
                expected = "txn" if parameters["op"] in ("create", "update", "delete") else parameters["op"]
                assert line["kind"] == expected, (line, parameters)
                line |= parameters
                at, parameters = next(sent, (filled_from, {}))
            else:
                filled += 1
                continue
        if (0 < skipped < 16_384 or filled) and record.kind == STATE:
            continue
        lines.append(line)
    lines += [describe(record) | {"segment": 2} for _, record in zip(range(4), records(segments[1]), strict=False)]
    header = {
        "format": 1, "etcd": version, "seed": options.seed, "requests": len(client.sent),
        "made": "tests/etcd/record_wal.py: one member on loopback, requests one after the other",
        "left_out": f"{skipped} small puts at once and their states, {filled} puts of 1,000,000 bytes that filled the segment",
        "cut_at": sum(record.frame for record in records(segments[0])),
        "segment_bytes": [len(segment) for segment in segments],
    }  # fmt: skip
    name = f"etcd-{version}-id{options.id_bytes}"
    options.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(json.dumps(line, separators=(",", ":")) for line in [header, *lines]) + "\n"
    (options.out / f"{name}.jsonl").write_text(text)
    print(f"{len(lines)} records, {len(text)} bytes")
    if options.head:
        size = 0
        for record in records(segments[0]):
            if size + record.frame > HEAD_BYTES:
                break
            size += record.frame
        (options.out / f"{name}-head.wal").write_bytes(segments[0][:size])


if __name__ == "__main__":
    main()
