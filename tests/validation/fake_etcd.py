"""A program that takes etcd's flags and answers /version and /metrics: what starts and ends it is under test, not etcd.

The environment says how it behaves, FAKE_ETCD:

    serves (default)   ready at once, leads
    stubborn           as serves, and ignores SIGTERM
    silent             listens to nothing
    fails              logs an error as etcd does and ends
    taken              ends because its port is taken; from the start named in FAKE_ETCD_FREE_FROM on it serves
    dies               serves, and ends half a second later
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

METRICS = "etcd_server_is_leader 1\netcd_server_leader_changes_seen_total 1\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = METRICS if self.path == "/metrics" else json.dumps({"etcdserver": "3.5.1", "etcdcluster": "3.5.0"})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def main() -> int:
    if "--version" in sys.argv:
        print(os.environ.get("FAKE_ETCD_VERSION", "etcd Version: 3.5.1\nGit SHA: 0000000"))
        return 0
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    Path(flags["data-dir"], "member", "wal").mkdir(parents=True)
    if pids := os.environ.get("FAKE_ETCD_PIDS"):
        with open(pids, "a") as file:
            file.write(f"{os.getpid()}\n")
    mode = os.environ.get("FAKE_ETCD", "serves")
    if mode == "taken" and len(Path(pids or "").read_text().split()) >= int(os.environ["FAKE_ETCD_FREE_FROM"]):
        mode = "serves"
    if mode in ("fails", "taken"):
        reason = "listen tcp 127.0.0.1:1: bind: address already in use" if mode == "taken" else "write: no space left on device"
        print(json.dumps({"level": "warn", "msg": "never mind"}))
        print(json.dumps({"level": "fatal", "msg": "discovery failed", "error": reason}), flush=True)
        return 1
    if mode == "silent":
        time.sleep(60)
        return 0
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "dies":
        threading.Timer(0.5, os._exit, (3,)).start()
    port = int(flags["listen-client-urls"].rpartition(":")[2])
    HTTPServer(("127.0.0.1", port), Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
