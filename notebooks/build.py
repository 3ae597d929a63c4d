"""Make the notebooks from their sources, and run them: `python notebooks/build.py`.

A source is a Python file in the percent format (`# %%` begins a code cell, `# %% [markdown]` a text cell) under `notebooks/src`; it
is what people review. The notebook beside it is the same with its output, and holds nothing of the machine that made it.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).resolve().parent
SOURCES = sorted((HERE / "src").glob("*.py"))
_CELL = re.compile(r"^# %%(?P<kind> \[markdown\])?\n", re.M)
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def parse(source: str) -> nbformat.NotebookNode:
    """The notebook of a source in the percent format, without output; ids number the cells. Raises ValueError."""
    begin, *parts = _CELL.split(source)
    if begin.strip():
        raise ValueError(f"a source begins with a cell, not with {begin.strip().splitlines()[0]!r}")
    cells = []
    for number, (kind, body) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        text = body.strip("\n")
        if kind:
            text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines())
        cell = new_markdown_cell(text) if kind else new_code_cell(text)
        cell["id"] = f"cell-{number}"
        cells.append(cell)
    return new_notebook(cells=cells, metadata=_METADATA)


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run every cell in a fresh kernel and an empty directory; raises CellExecutionError for the first that fails."""
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return stripped(notebook)


def stripped(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without what depends on when and where it was run."""
    notebook["metadata"] = nbformat.from_dict(_METADATA)
    for cell in notebook["cells"]:
        cell["metadata"] = nbformat.from_dict({})
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output["metadata"] = nbformat.from_dict({})
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if output.get("name") != "stderr"]
    return notebook


def target(source: Path) -> Path:
    """The notebook that belongs to a source."""
    return HERE / f"{source.stem}.ipynb"


def main() -> None:
    for source in SOURCES:
        notebook = execute(parse(source.read_text(encoding="utf-8")))
        nbformat.validate(notebook)
        target(source).write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        print(target(source).name)


if __name__ == "__main__":
    sys.exit(main())
