"""Fine-tuning on real tasks without forgetting: SmolLM2-135M by LoRA, general texts and questions before and after.

Tasks: 20 intents of banking77 as generated answers, and fin_tweets. General: replay_general may be replayed; measured are gsm8k's
worked answers and two suites of questions, one half by training, the other half by evaluation. `rates` are the learning rates
whose whole way back to the base is walked, `rounds` one run of recursive self-distillation.

Run: python benches/retention.py [PART …]    parts: banking tweets rounds rates; each model is kept, so that it goes on where it was
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from preceptor.cli.output import progress_bar
from preceptor.errors import UserError
from preceptor.project import Project
from preceptor.project.config import FILE

SHARED = Path(__file__).parents[2] / "shared" / "data"
WORK = Path(os.environ.get("PRECEPTOR_BENCH_WORK", "bench-results/retention-work"))
RATE = 5e-4
SETTINGS = {"adapter": "lora", "rank": 16, "epochs": 2, "dtype": "float32", "max_tokens": 320}
RATES = (1e-4, 1e-3)
QUESTIONS = 160  # of a suite, both sides
INTENTS, TRAIN_OF_EACH, TEST_OF_EACH = 20, 15, 15


def rows_of(path: str) -> list[dict[str, Any]]:
    file = SHARED / path / "items.jsonl"
    if not file.is_file():
        raise UserError(f"there is no {file}", "this bench needs the shared data")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def banking() -> Iterator[dict[str, str]]:
    """Messages of the first 20 intents (by name) with the intent as the answer; 600 rows at most."""
    rows = rows_of("tasks/banking77")
    intents = sorted({row["label"] for row in rows})[:INTENTS]
    for split, most in (("train", TRAIN_OF_EACH), ("test", TEST_OF_EACH)):
        for intent in intents:
            found = [row for row in rows if row["split"] == split and row["label"] == intent][:most]
            for row in found:
                yield {"prompt": f"What does this customer of a bank want?\n{row['text']}", "completion": intent.replace("_", " ")}


def tweets() -> Iterator[dict[str, str]]:
    """Tweets about finance with their sentiment as the answer."""
    for row in rows_of("tasks/fin_tweets")[::5]:
        yield {"prompt": f"Is this tweet bearish, bullish or neutral?\n{row['text']}", "completion": row["label"]}


def general(folder: Path) -> str:
    """The [general] table, its files written into the project's folder."""
    instructions = [row for row in rows_of("general/replay_general") if row["output"]]
    files: dict[str, list[dict[str, Any]]] = {
        "replay.jsonl": [{name: row[name] for name in ("instruction", "input", "output")} for row in instructions],
        "worked.jsonl": [{"question": row["question"], "answer": row["solution"]} for row in rows_of("general/gsm8k_300")],
    }
    for row in rows_of("general/mc_general_900"):
        if row["source"].startswith("mmlu"):
            continue  # the base guesses there
        suite = f"{row['source'].split('-')[0]}.jsonl"
        if len(files.setdefault(suite, [])) < QUESTIONS:
            files[suite].append({name: row[name] for name in ("question", "options", "answer")})
    for name, rows in files.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    suites = [name for name in files if name not in ("replay.jsonl", "worked.jsonl")]
    return f'[general]\ntexts = ["worked.jsonl"]\nreplay = ["replay.jsonl"]\nsuites = {json.dumps(suites)}\n'


def project_of(name: str, rows: Iterator[dict[str, str]]) -> Project:
    folder = WORK / name
    if (folder / FILE).exists():
        return Project.open(folder)
    made = Project.create(folder)
    toml = (folder / FILE).read_text(encoding="utf-8")
    start = toml.index("[general]")
    (folder / FILE).write_text(toml[:start] + general(folder) + toml[toml.index("\n[", start) :], encoding="utf-8")
    made.close()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    project = Project.open(folder)
    project.read(folder / "rows.jsonl")
    project.snapshot("completion", name="v1")
    return project


def trained(project: Project, retention: str, rate: float = RATE) -> Any:
    with progress_bar() as tell:
        return project.train("sft", snapshot="v1", base="smollm2", progress=tell, learning_rate=rate, retention=retention, **SETTINGS)


def task(name: str, rows: Iterator[dict[str, str]]) -> dict[str, Any]:
    """Without a remedy and with auto: the task's figures beside the base's, and what is left of the base's knowledge, on test rows."""
    project = project_of(name, rows)
    found = {}
    for retention in ("none", "auto"):
        model = trained(project, retention)
        report = project.evaluate(model)
        about, left = model.manifest["retention"], report.document["forgetting"]
        found[retention] = {
            "task": name, "retention": retention, "remedy": about["remedy"], "alpha": about["alpha"], "met on validation": about["met"],
            "accuracy": report.document["models"]["tuned"]["accuracy"], "base's": report.document["models"]["base"]["accuracy"],
            "better by": report.document["comparison"]["tuned_minus_base_exact_match"],
            "log-probability kept": left["kept"], **{f"{suite} change": each["change"] for suite, each in left["suites"].items()},
            "suites that count": [suite for suite, each in left["suites"].items() if each["counts"]],
            "rows": model.manifest["rows"]["train"], "seconds": model.manifest["seconds"],
        }  # fmt: skip
        found[f"{retention} points"] = about["points"]
    project.close()
    return found


def ways(name: str, retention: str, rates: tuple[float, ...]) -> dict[str, Any]:
    """The points that each rate's training went through."""
    project = project_of(name, banking())
    found = {f"{rate:g}": trained(project, retention, rate).manifest["retention"]["points"] for rate in rates}
    project.close()
    return found


PARTS = {
    "banking": lambda: task("banking", banking()),
    "tweets": lambda: task("tweets", tweets()),
    "rounds": lambda: ways("banking", "recursive", (RATE,)),
    "rates": lambda: ways("banking", "alpha", RATES),
}


def keep(name: str, found: Mapping[str, Any]) -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / f"{name}.json").write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        keep(part, PARTS[part]())
        print(f"{part} done", file=sys.stderr, flush=True)
