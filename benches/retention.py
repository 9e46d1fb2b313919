"""Fine-tuning on real tasks without forgetting: SmolLM2-135M by LoRA, general texts and questions before and after.

Tasks: 20 intents of banking77 as generated answers, and fin_tweets, each trained without a remedy and with `retention = "auto"`.
General: replay_general may be replayed; measured are gsm8k's worked answers and two suites of questions, one half by training, the
other half by evaluation. `rates` are learning rates whose whole way back to the base is walked, `rounds` one run of recursive
self-distillation over three rounds. Both are drawn in docs/forgetting.svg.

Each model is kept in bench-results/retention (or where PRECEPTOR_BENCH_WORK says), and a later start goes on from there.
Run: python -m benches.retention [PART …]    parts: banking tweets rates rounds
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from preceptor import Estimate, Project
from preceptor.cli.output import progress_bar
from preceptor.config import CONFIG_FILE
from preceptor.errors import UserError
from preceptor.evaluation.number_format import format_whole_percent
from preceptor.reporting.charts import IntervalRow, LineSeries, interval_plot, line_chart, stack_charts

SHARED = Path(__file__).parents[2] / "shared" / "data"
WORK = Path(os.environ.get("PRECEPTOR_BENCH_WORK", "bench-results/retention"))
RATE = 1e-3
SETTINGS = {"adapter": "lora-top", "epochs": 4, "batch_size": 8, "evals_per_epoch": 1, "dtype": "float32", "max_tokens": 320}
RATES = (3e-4, 3e-3)
PICTURE = Path(__file__).parents[1] / "docs" / "forgetting.svg"
QUESTIONS = 160  # of a suite, both sides
INTENTS, TRAIN_OF_EACH, TEST_OF_EACH = 20, 10, 10


def rows_of(path: str) -> list[dict[str, Any]]:
    file = SHARED / path / "items.jsonl"
    if not file.is_file():
        raise UserError(f"there is no {file}", "this bench needs the shared data")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def banking() -> Iterator[dict[str, str]]:
    """Messages of the first 20 intents (by name) with the intent as the answer; 400 rows at most."""
    rows = rows_of("tasks/banking77")
    intents = sorted({row["label"] for row in rows})[:INTENTS]
    for split, most in (("train", TRAIN_OF_EACH), ("test", TEST_OF_EACH)):
        for intent in intents:
            found = [row for row in rows if row["split"] == split and row["label"] == intent][:most]
            for row in found:
                yield {"prompt": f"What does this customer of a bank want?\n{row['text']}", "completion": intent.replace("_", " ")}


def tweets() -> Iterator[dict[str, str]]:
    """Tweets about finance with their sentiment as the answer."""
    for row in rows_of("tasks/fin_tweets")[::8]:
        yield {"prompt": f"Is this tweet bearish, bullish or neutral?\n{row['text']}", "completion": row["label"]}


def general(folder: Path) -> str:
    """The [forgetting] table, its files written into the project's folder."""
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
    return f'[forgetting]\ntexts = ["worked.jsonl"]\nreplay = ["replay.jsonl"]\nsuites = {json.dumps(suites)}\n'


def project_of(name: str, rows: Iterator[dict[str, str]]) -> Project:
    folder = WORK / name
    if (folder / CONFIG_FILE).exists():
        return Project.open(folder)
    made = Project.create(folder)
    toml = (folder / CONFIG_FILE).read_text(encoding="utf-8")
    start = toml.index("[forgetting]")
    (folder / CONFIG_FILE).write_text(toml[:start] + general(folder) + toml[toml.index("\n[", start) :], encoding="utf-8")
    made.close()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    project = Project.open(folder)
    project.read(folder / "rows.jsonl")
    project.snapshot("completion", name="v1")
    return project


def trained(project: Project, retention: str, rate: float = RATE) -> Any:
    with progress_bar() as tell:
        return project.train("sft", snapshot="v1", base="smollm2", progress=tell, learning_rate=rate, retention=retention, **SETTINGS)


def task(name: str, rows: Iterator[dict[str, str]]) -> dict[str, list[dict[str, Any]]]:
    """Without a remedy and with auto: the task's figures beside the base's, and what is left of the base's knowledge, on test rows."""
    project = project_of(name, rows)
    tests, tried = [], []
    for retention in ("none", "auto"):
        model = trained(project, retention)
        document = project.evaluate(model).document
        about, left, models = model.manifest["retention"], document["forgetting"], document["models"]
        tests.append({
            "task": name, "retention": retention, "remedy": about["remedy"], "alpha": about["alpha"], "met on validation": about["met"],
            "accuracy": models["tuned"]["accuracy"], "base's": models["base"]["accuracy"],
            "better by": document["comparison"]["tuned_minus_base_exact_match"], "log-probability kept": left["kept"],
            **{f"{suite}, change": each["change"] for suite, each in left["suites"].items() if each["counts"]},
            "suites that don't count": ", ".join(suite for suite, each in left["suites"].items() if not each["counts"]),
            "training rows": model.manifest["rows"]["train"], "seconds": round(model.manifest["seconds"]),
        })  # fmt: skip
        tried += [{"task": name, "retention": retention, **point} for point in about["points"]]
    project.close()
    return {"on_test_rows": tests, "tried_on_validation_rows": tried}


def ways(retention: str, rates: Sequence[float]) -> list[dict[str, Any]]:
    """The points that each rate's training went through, on banking."""
    project = project_of("banking", banking())
    found = [
        {"rate": rate, **point} for rate in rates for point in trained(project, retention, rate).manifest["retention"]["points"]
    ]  # fmt: skip
    project.close()
    return found


PARTS = {
    "banking": lambda: task("banking", banking()),
    "tweets": lambda: task("tweets", tweets()),
    "rates": lambda: {"rates": ways("alpha", RATES)},
    "rounds": lambda: {"rounds": ways("recursive", (RATE,))},
}


def kept(name: str) -> dict[str, list[dict[str, Any]]]:
    """A part's tables, measured unless they are there."""
    path = WORK / f"{name}.json"
    if not path.exists():
        found = PARTS[name]()
        path.with_suffix(".part").write_text(json.dumps(found, indent=2), encoding="utf-8")
        path.with_suffix(".part").replace(path)
        print(f"{name} done", file=sys.stderr, flush=True)
    return dict(json.loads(path.read_text(encoding="utf-8")))


def learnt(points: Sequence[dict[str, Any]]) -> list[float]:
    """Of each point the share of what the best of them has learnt of the task, by validation loss."""
    some = next(point for point in points if point["gain"] < 1)
    whole = next(point for point in points if point["rate"] == some["rate"] and point["gain"] == 1)
    base = (some["validation_loss"] - some["gain"] * whole["validation_loss"]) / (1 - some["gain"])
    best = min(point["validation_loss"] for point in points)
    return [(base - point["validation_loss"]) / (base - best) for point in points]


def picture(found: dict[str, list[dict[str, Any]]]) -> str:
    """Rates, the way back at the least and the greatest of them, remedies of each task, and the rounds."""
    asked = [point for point in found["tried_on_validation_rows"] if point["task"] == "banking" and point["retention"] == "auto"]
    points = [*found["rates"], *({"rate": RATE, **point} for point in asked if point["remedy"] == "none")]
    shares = learnt(points)
    trained = [(point["rate"], point, share) for point, share in zip(points, shares, strict=True) if point["alpha"] == 1]
    drawn = [("Learning rates, as trained", chart("learning rate", trained, log_x=True))]
    for rate in (RATES[0], RATES[-1]):
        way = [(point["alpha"], point, share) for point, share in zip(points, shares, strict=True) if point["rate"] == rate]
        drawn.append((f"The way back to the base from a learning rate of {rate:g}", chart("share of the way from the base", way)))
    for name in ("banking", "tweets"):
        tried = [point for point in found["tried_on_validation_rows"] if point["task"] == name and point["retention"] == "auto"]
        rows = [
            IntervalRow(
                f"{point['remedy']}, α {point['alpha']:g}, task {point['gain']:.0%}",
                Estimate.from_dict(point["kept"]),
                point["remedy"] == "none",
            )
            for point in tried
        ]
        plot = interval_plot(f"{name}, auto", rows, show=format_whole_percent, limits=(0, 2), mark=(0.99, "bound"))
        drawn.append((f"General log-probability kept: what auto tried on {name}", plot))
    rounds = [(number, point, point["gain"]) for number, point in enumerate(found["rounds"], start=1)]
    drawn.append(("Rounds of recursive self-distillation", chart("round", rounds)))
    return stack_charts(drawn)


def chart(x: str, points: Sequence[tuple[float, dict[str, Any], float]], *, log_x: bool = False) -> Any:
    points = sorted(points, key=lambda at: at[0])
    ranges = [(point["kept"]["low"], point["kept"]["high"]) for _, point, _ in points]
    series = [
        LineSeries("general log-probability kept, with its interval", [(at, point["kept"]["value"]) for at, point, _ in points], ranges),
        LineSeries("learnt of the task, beside the best", [(at, share) for at, _, share in points], style="b", dots=True),
    ]
    title = f"{x}, {points[0][0]:g} to {points[-1][0]:g}"
    return line_chart(
        title, series, labels=(x, "share"), show_x=lambda at: f"{at:g}", show_y=format_whole_percent, limits=(-1.0, 2.0), log_x=log_x
    )


if __name__ == "__main__":
    tables: dict[str, list[dict[str, Any]]] = {}
    for part in sys.argv[1:] or PARTS:
        for title, lines in kept(part).items():
            tables[title] = tables.get(title, []) + lines
    if {"rates", "rounds", "on_test_rows"} <= tables.keys():
        PICTURE.write_text(picture(tables), encoding="utf-8")
    sys.stdout.write(json.dumps(tables, indent=2) + "\n")
