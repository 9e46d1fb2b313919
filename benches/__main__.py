"""Runs the benches, each in a process of its own, and writes docs/benchmarks.md from what they print.

A bench is a file here that prints one JSON document on stdout: a list of rows, or an object in which each list of rows
is a table and everything else holds for all of them. Run: python -m benches [NAME…]; without names all, one after the other.
The documents stay in bench-results/, so that one bench can be measured again without the others.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS, PAGE = HERE.parent / "bench-results", HERE.parent / "docs" / "benchmarks.md"
LAST = "promises"  # reads what others found; stands first on the page
NAMES = sorted((path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_")), key=lambda name: (name == LAST, name))
FEW = 4  # values of a nested object that still make columns; larger ones stay in the JSON
OPENING = """# Benchmarks

Written by `make bench`; don't edit it. `python -m benches NAME` measures one again. Each figure is from the machine and the
day named above its table: compare within a table, not between machines.
"""


def main(names: list[str]) -> None:
    """Measure these benches, or all, and write the page from all results there are."""
    if unknown := sorted(set(names) - set(NAMES)):
        sys.exit(f"there is no bench called {unknown[0]!r}; known: {', '.join(NAMES)}")
    RESULTS.mkdir(exist_ok=True)
    failed = [name for name in names or NAMES if not measured(name)]
    standing = sections(PAGE.read_text(encoding="utf-8"))
    found = {name: section(name) if (RESULTS / f"{name}.json").exists() else standing.get(name) for name in [LAST, *NAMES[:-1]]}
    PAGE.write_text("\n".join([OPENING, *filter(None, found.values())]), encoding="utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def measured(name: str) -> bool:
    """Run a bench and keep its document; False when it failed."""
    print(f"{name} …", file=sys.stderr)
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", f"benches.{name}"], stdout=subprocess.PIPE, text=True, cwd=HERE.parent, check=False)
    if done.returncode != 0:
        return False
    kept = {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - started),
        "found": json.loads(done.stdout),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return True


def machine() -> str:
    """The processor, its cores, the memory, the load beside us and the Python."""
    cpu = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0) / 2**20
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GB, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"


def sections(page: str) -> dict[str, str]:
    """The parts of the page as it is, by bench: what was measured in another folder stays."""
    parts = page.split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def section(name: str) -> str:
    """A bench's part of the page."""
    kept = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    lines = [f"## {name}", "", purpose(name), "", f"{kept['machine']}; {kept['date']}; {kept['seconds']} s.", ""]
    for title, rows in tables(kept["found"]):
        lines += [*([f"**{title}**", ""] if title else []), *table(rows), ""]
    return "\n".join(lines)


def purpose(name: str) -> str:
    """The first paragraph of a bench's own words."""
    text = (HERE / f"{name}.py").read_text(encoding="utf-8").split('"""')[1]
    return " ".join(text.partition("\n\n")[0].split())


def tables(found: Any) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """(title, rows of text) of a document; what holds for all rows makes a table of one row."""
    if isinstance(found, list):
        found = {"rows": found}
    lists = {title: rows for title, rows in found.items() if isinstance(rows, list) and rows and isinstance(rows[0], dict)}
    for title, rows in lists.items():
        yield "" if title == "rows" else title.replace("_", " "), [dict(cells(row)) for row in rows]
    rest = dict(cells({key: value for key, value in found.items() if key not in {*lists, "bench", "machine"}}))
    if rest:
        yield "", [rest]


def cells(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Columns of a row as text; small nested objects become columns of their own, an estimate one with its interval."""
    for key, value in row.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
            low, high = (sign if value[end] is None else f"{value[end]:.3f}" for end, sign in (("low", "-∞"), ("high", "∞")))
            yield name, f"{value['value']:.3f} [{low}, {high}]"
        elif isinstance(value, Mapping):
            if len(value) <= FEW:
                yield from cells(value, f"{name}, ")
        elif isinstance(value, float):
            yield name, f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        elif not isinstance(value, list):
            yield name, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def table(rows: list[dict[str, str]]) -> list[str]:
    """Lines of a Markdown table with every column that any row has."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    body = [[row.get(column, "") for column in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *body)]


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


if __name__ == "__main__":
    main(sys.argv[1:])
