"""Where scrapes come from: files, a directory of them, a member itself, a Prometheus server.

A network answer is bounded in time and size, follows no proxy, and is read, never executed.
"""

from __future__ import annotations

import gzip
import json
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from sim.calibration import scrape as names
from sim.calibration.scrape import Labels, Scrape, of_samples, parse
from sim.errors import InputError
from sim.units import Nanoseconds, format_duration, seconds

_MOST_BYTES: Final = 256 * 2**20
_TIMEOUT_SECONDS: Final = 30.0
_GZIP: Final = b"\x1f\x8b"
_EPOCH: Final = re.compile(r"(?<!\d)(1\d{9})(\.\d+)?(?!\d)")
_STAMP: Final = re.compile(r"(?<!\d)(20\d\d)-?(\d\d)-?(\d\d)[T_-](\d\d)[:-]?(\d\d)[:-]?(\d\d)(?!\d)")
_WANTED: Final = (
    names.WAL_FSYNC, names.COMMIT, names.REBALANCE, names.SPILL, names.WRITE, names.RTT, names.APPLY,
)  # fmt: skip
_PLAIN: Final = (
    names.VERSION, names.CLUSTER_VERSION, names.SERVER_ID, names.WAL_BYTES, names.PUTS, names.PUT_BYTES, names.QUOTA, names.STARTED,
)  # fmt: skip
_OF_ETCD: Final = frozenset(
    {"le", "To", "op", "success", "version", "server_version", "cluster_version", "server_id", "server_go_version"}
)
"""Labels that etcd itself gives; the others are the Prometheus server's."""


def read_scrape(path: Path, taken: float | None = None) -> Scrape:
    """The scrape in a file, gzipped or not. Raises InputError."""
    return parse(read_text(path), str(path), taken)


def read_text(path: Path) -> str:
    """The text of a file, gzipped or not. Raises InputError."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory, not a file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return _text(data, str(path))


def read_series(paths: Sequence[Path], every: Nanoseconds | None) -> list[Scrape]:
    """Scrapes in their order of time: files, or all files of a directory.

    When each was taken says `every` (files by name, equally far apart), or a Unix time or date in the file's name, or the
    time at which the file was written. Raises InputError.
    """
    files = [file for path in paths for file in (sorted(_files(path)) if path.is_dir() else [path])]
    if len(files) < 3:
        raise InputError(f"series: {len(files)} scrape{'s' * (len(files) != 1)} cannot show what happens over time; at least 3")
    if every is not None:
        taken = [at * seconds(every) for at in range(len(files))]
    else:
        named = [_named_time(file.name) for file in files]
        if any(at is None for at in named):
            taken = [_written(file) for file in files]
        else:
            taken = [at for at in named if at is not None]
    pairs = sorted(zip(taken, files, strict=True))
    for (earlier, one), (later, other) in pairwise(pairs):
        if later - earlier < 1e-3:
            raise InputError(
                f"series: {other} is as old as {one}; say how far apart they were taken (--every 15s), or put the time into "
                "their names"
            )
    return [read_scrape(file, at) for at, file in pairs]


def scrape_member(endpoint: str, tls: ssl.SSLContext | None = None) -> Scrape:
    """What a member shows now at `endpoint`, such as http://127.0.0.1:2379. Raises InputError."""
    url = _url(endpoint, "endpoint", "http://127.0.0.1:2379")
    if not urllib.parse.urlsplit(url).path.rstrip("/"):
        url = url.rstrip("/") + "/metrics"
    data = _get(url, tls)
    return parse(_text(data, url), url, time.time())


def scrape_repeatedly(endpoint: str, count: int, every: Nanoseconds, tls: ssl.SSLContext | None = None) -> list[Scrape]:
    """`count` scrapes of a member, one every so often. Raises InputError."""
    taken = []
    begun = time.monotonic()
    for turn in range(count):
        time.sleep(max(begun + turn * seconds(every) - time.monotonic(), 0))
        taken.append(scrape_member(endpoint, tls))
    return taken


def ask_prometheus(url: str, window: Nanoseconds, instance: str | None = None, tls: ssl.SSLContext | None = None) -> list[Scrape]:
    """Every scrape of one member that a Prometheus server holds of the last `window`, in order of time.

    Raises InputError, also where several members match and `instance` does not choose one.
    """
    base = _url(url, "prometheus", "http://127.0.0.1:9090").rstrip("/")
    histograms = "|".join(f"{name}_(bucket|sum|count)" for name in _WANTED)
    chosen = "" if instance is None else f",instance={json.dumps(instance)}"
    query = f'{{__name__=~"{histograms}|{"|".join(_PLAIN)}"{chosen}}}[{max(round(seconds(window)), 1)}s]'
    asked = f"{base}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    answer = _json(_get(asked, tls), f"{base}/api/v1/query")
    if answer.get("status") != "success":
        raise InputError(f"{base}: Prometheus refuses the query: {answer.get('error', 'without saying why')}")
    return _members_scrapes(answer, base, instance, window)


def tls_context(cacert: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """How to speak TLS with a member; None for the system's own way. Raises InputError."""
    if cacert is None and cert is None and key is None:
        return None
    if (cert is None) != (key is None):
        raise InputError("cert and key: one without the other is not allowed")
    try:
        context = ssl.create_default_context(cafile=None if cacert is None else str(cacert))
        if cert is not None:
            context.load_cert_chain(str(cert), None if key is None else str(key))
    except OSError as error:
        raise InputError(f"{cacert or cert}: is not a certificate that can be used: {error.strerror or error}") from None
    return context


def _members_scrapes(answer: dict[str, Any], base: str, instance: str | None, window: Nanoseconds) -> list[Scrape]:
    try:
        series = [(dict(one["metric"]), list(one["values"])) for one in answer["data"]["result"]]
        members = sorted({labels.get("instance", "") for labels, _ in series if labels["__name__"].startswith(names.WAL_FSYNC)})
        moments: dict[float, dict[str, dict[Labels, float]]] = {}
        for labels, values in series:
            own = tuple(sorted((key, str(value)) for key, value in labels.items() if key in _OF_ETCD))
            for at, value in values:
                if labels.get("instance", "") in members:
                    moments.setdefault(float(at), {}).setdefault(str(labels["__name__"]), {})[own] = float(value)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{base}: the answer is not that of a Prometheus server to a range query") from None
    if not members:
        which = "" if instance is None else f' with instance="{instance}"'
        raise InputError(f"{base}: has no {names.WAL_FSYNC}{which} in the last {format_duration(window)}")
    if len(members) > 1:
        raise InputError(f"{base}: has {len(members)} members; choose one with --instance: {', '.join(members)}")
    scrapes = []
    for at in sorted(moments):
        if f"{names.WAL_FSYNC}_bucket" in moments[at]:
            when = datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="seconds")
            scrapes.append(of_samples(moments[at], f"{base} at {when}", at))
    return scrapes


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]


def _named_time(name: str) -> float | None:
    if stamp := _STAMP.search(name):
        try:
            year, month, day, hour, minute, second = (int(part) for part in stamp.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
        except ValueError:
            return None
    epoch = _EPOCH.search(name)
    return None if epoch is None else float(epoch[0])


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def _text(data: bytes, called: str) -> str:
    try:
        if data.startswith(_GZIP):
            data = gzip.decompress(data)
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{called}: is not text in UTF-8") from None
    except (OSError, EOFError):
        raise InputError(f"{called}: is gzip that ends early; the file is truncated") from None


def _url(text: str, what: str, example: str) -> str:
    try:
        parts = urllib.parse.urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f'{what}: "{text}" is not a URL such as {example}')
    return text


def _get(url: str, tls: ssl.SSLContext | None) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
    shown = url.split("?")[0]
    try:
        with opener.open(url, timeout=_TIMEOUT_SECONDS) as answer:
            data = answer.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        said = _said(error)
        raise InputError(f"{shown}: answers {error.code} {error.reason}{said}") from None
    except urllib.error.URLError as error:
        raise InputError(f"{shown}: cannot be reached: {error.reason}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{shown}: cannot be read: {error}") from None
    if len(data) > _MOST_BYTES:
        raise InputError(f"{shown}: answers more than {_MOST_BYTES // 2**20} MiB; ask for less")
    return bytes(data)


def _said(error: urllib.error.HTTPError) -> str:
    """What a Prometheus server says of a refused query."""
    try:
        return f": {json.loads(error.read(10_000))['error']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _json(data: bytes, called: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{called}: does not answer as a Prometheus server does")
    return found
