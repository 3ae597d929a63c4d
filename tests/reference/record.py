"""From the output of `go test -bench` on stdin to the reference measurement on stdout: nanoseconds, and on what.

The fastest of the repetitions: whatever else the machine does only makes them slower.
"""

from __future__ import annotations

import json
import re
import sys


def main() -> None:
    text = sys.stdin.read()
    times: dict[str, list[float]] = {}
    for name, nanoseconds in re.findall(r"^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op", text, re.M):
        times.setdefault(name, []).append(float(nanoseconds))
    found = {name: min(values) for name, values in times.items()}
    head = dict(re.findall(r"^(goos|goarch|cpu): (.*)$", text, re.M))
    threads = re.search(r"^Benchmark\S+-(\d+)\s", text, re.M)
    told = {
        "what": "Comparisons with a zero value; a map behind a lock or copied at each write: ns an operation, the fastest of 5.",
        "made_by": "tests/reference: go test -bench . -benchtime 200ms -count 5 | python record.py",
        "go": sys.argv[1] if len(sys.argv) > 1 else "unknown",
        **head,
        "threads": int(threads[1]) if threads else 1,
        "ns_per_operation": found,
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
