"""Run the commands that the documents show and put what they print below them; `--check` only says what differs.

    python docs/refresh.py [--check] [FILE ...]

A document shows a command as a `console` block: `$ command` on its first line, what it prints below. A comment before the block,
`<!-- up to: PATTERN -->`, leaves out the first line that matches and all that follow; `...` stands in their place. Commands
run with bash, a document's in one empty directory, with the programs that stand beside this Python first. The picture of the
README is what its `etcdsim run zero-value-leak --out leak` draws.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENTS = [HERE.parent / "README.md", *sorted(HERE.rglob("*.md"))]
PICTURE = HERE / "overview.png"
BLOCK = re.compile(
    r"(?P<head>(?:^<!-- up to: (?P<end>[^\n]+) -->\n\n?)?^```console\n\$ (?P<command>[^\n]+)\n)(?P<output>.*?)(?=^```$)",
    re.M | re.S,
)


def printed(command: str, folder: Path) -> str:
    """What a command prints, without trailing blanks. Raises CalledProcessError where it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True,
        check=True,
    )  # fmt: skip
    return "".join(f"{line.rstrip()}\n" for line in ran.stdout.splitlines())


def refreshed(text: str, folder: Path) -> str:
    """The document with the output of each command as it is now."""

    def replace(block: re.Match[str]) -> str:
        output = printed(block["command"], folder)
        if block["end"] is not None:
            cut = re.search(block["end"], output, re.M)
            if cut is None:
                raise SystemExit(f"nothing that {block['command']} prints matches {block['end']}")
            output = f"{output[: cut.start()].rstrip()}\n...\n"
        return block["head"] + output

    return BLOCK.sub(replace, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a document is out of date")
    parser.add_argument("files", nargs="*", type=Path, default=DOCUMENTS)
    given = parser.parse_args()
    stale = []
    for file in given.files:
        with tempfile.TemporaryDirectory() as folder:
            before = file.read_text(encoding="utf-8")
            after = refreshed(before, Path(folder))
            if before != after:
                stale.append(file)
                if not given.check:
                    file.write_text(after, encoding="utf-8")
            drawn = Path(folder) / "leak" / "overview.png"
            if drawn.exists() and not given.check:
                shutil.copy(drawn, PICTURE)
    for file in stale:
        print(f"{file.name} {'is out of date' if given.check else 'was brought up to date'}")
    return 1 if stale and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
