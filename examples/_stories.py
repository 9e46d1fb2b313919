"""What the stories share: where their data lie, the project that each begins, and how each ends."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from preceptor import Estimate, Project, UserError
from preceptor.config import CONFIG_FILE
from preceptor.evaluation.slices import RowScores
from preceptor.pipeline import project_templates
from preceptor.reporting.report import Report
from preceptor.storage.snapshots import Snapshot

Summary = dict[str, Any]


def data(name: str) -> Path:
    """A file of real data, below PRECEPTOR_DATA or `../shared/data` beside the repository; UserError where it isn't there."""
    folder = Path(os.environ.get("PRECEPTOR_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (path := folder / name).is_file():
        raise UserError(f"this story runs on real data, which isn't there: {path}", "set PRECEPTOR_DATA to the folder in which tasks/ lies")
    return path


def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a file of JSON Lines among the data."""
    with data(name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def thinned(rows: Iterable[dict[str, Any]], most: int, by: str) -> Iterator[dict[str, Any]]:
    """The first `most` rows of each value of a column."""
    seen: dict[Any, int] = {}
    for row in rows:
        seen[row[by]] = seen.get(row[by], 0) + 1
        if seen[row[by]] <= most:
            yield row


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Rows as a file of JSON Lines, as a team would bring it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def begun(folder: Path, template: str, part: str = "", **options: Any) -> Project:
    """A project from a template; the one that is there already, where the story was interrupted."""
    if not (folder / CONFIG_FILE).exists():
        project_templates.create_from_template(folder, template, part, **options)
    return Project.open(folder)


def frozen(project: Project, question: str, name: str, **options: Any) -> Snapshot:
    """A snapshot under a name; the one that is there already, where the story was interrupted later."""
    known = {each["name"] for each in project.snapshots()}
    return project.load_snapshot(name) if name in known else project.snapshot(question, name=name, **options)


def chapter(title: str) -> None:
    """What begins now."""
    print(f"\n{title}\n{'-' * len(title)}", flush=True)


def tell(name: str, value: Any) -> None:
    """A line of what came out; an Estimate with its interval."""
    print(f"  {name:<52}{value}", flush=True)


def finish(report: Report, folder: Path, name: str = "report") -> None:
    """Keep a report as a page and as JSON, and say what the gate says."""
    report.save_html(folder / f"{name}.html")
    report.save_json(folder / f"{name}.json")
    release = report.document.get("release")
    if release:
        print(f"  the gate: {release['summary']}")
        for bound in release["bounds"]:
            print(f"    {bound['bound']:<42}{bound['summary']}")
    print(f"  report: {folder / name}.html", flush=True)


def figures(report: Report, *names: str) -> dict[str, Estimate]:
    """Some of a report's figures."""
    return {name: report.estimates[name] for name in names}


def tell_slices(report: Report) -> None:
    """How good each slice of the test rows is that is large enough to be told."""
    found = report.document["slices"]["found"]
    for each in found:
        tell(f"  {each['by']}: {each['slice']}", Estimate.from_dict(each["estimate"]))
    if not found:
        print("  slices: none has the rows and groups that a figure of its own needs")


def rights(project: Project, report: Report, figure: str = "accuracy") -> list[float]:
    """Whether each test row was answered right, in the order of the snapshot's test rows."""
    return list(RowScores.from_bytes(project.objects.get(report.document["rows"]["digest"])).columns[figure])


def still_to_do(*lines: str) -> None:
    """What this story left out, and a real team can't."""
    chapter("What a real team still has to do")
    for line in lines:
        print(f"  - {line}")


def run(story: Callable[[Path], Summary], words: str) -> None:
    """Tell a story from the command line: `--out DIR` is where its projects and reports lie."""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("stories") / Path(sys.argv[0]).stem, help="folder for projects and reports")
    out = parser.parse_args().out
    began = time.monotonic()
    try:
        summary = story(out)
    except UserError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    chapter("In short")
    for name, value in summary.items():
        tell(name, value)
    print(f"\n{time.monotonic() - began:.0f} s; all of it lies in {out}")
