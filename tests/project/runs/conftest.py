"""A project with answers that experts wrote, and a recipe that trains nothing but asks for all that a run may ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from preceptor import Project
from preceptor.registry import OptionsBase
from preceptor.training import recipes
from preceptor.training.recipe import FeedbackPending, FeedbackRequest
from preceptor.types import Model, json_digest

WORDS = "kettle lamp chair clock radio tent stove scarf drill printer basket mirror candle ladder hammer bottle guitar pillow"
THINGS = WORDS.split()


class Options(OptionsBase):
    """compare, correct, good, label: how many of each people are asked about."""

    compare: int = 0
    correct: int = 0
    good: int = 0
    label: int = 0
    rewards: str = ""


def stand_in(run: Any, options: Options) -> Model:
    """Asks about its first train rows, waits for all answers, and keeps them in its manifest."""
    rows = sorted(run.snapshot.rows("train"), key=lambda row: row.id)
    free = list(run.unlabelled())
    said = {
        "compare": _asked(run, "compare", [_about(row, [f"A. {row.id}", f"B. {row.id}"]) for row in rows[: options.compare]]),
        "correct": _asked(run, "correct", [_about(row, [f"A draft\0 for {row.id}"]) for row in rows[: options.correct]]),
        "good": _asked(run, "good", [_about(row, [f"An answer to {row.id}"]) for row in rows[: options.good]]),
        "label": _asked(run, "label", [FeedbackRequest(each.id, each.content, place) for place, each in enumerate(free[: options.label])]),
    }
    wanted = options.model_dump(exclude={"rewards"})
    if missing := sum(wanted[kind] - len(said[kind]) for kind in said):
        raise FeedbackPending(f"{missing} answers are missing")
    return _made(run, {"said": {kind: dict(found) for kind, found in said.items()}, "free": [each.id for each in free]})


stand_in.Options = Options


@pytest.fixture(autouse=True)
def registered(monkeypatch) -> None:
    """`stand_in` is a recipe for as long as a test here runs: no other test finds it among the recipes."""
    monkeypatch.setitem(recipes._known, "stand_in", stand_in)


def _about(row: Any, responses: list[str]) -> FeedbackRequest:
    return FeedbackRequest(f"{row.id}#0", {**row.content, "responses": responses})


def _asked(run: Any, kind: Any, asked: list[FeedbackRequest]) -> Mapping[str, Any]:
    return run.ask(kind, asked) if asked else {}


def _made(run: Any, found: dict[str, Any]) -> Model:
    manifest = {"recipe": "stand_in", "base": run.base_name, "history": [], "learning_rate": 0.0, "summary": ["Asked and heard."], **found}
    manifest["id"] = json_digest([manifest, str(run.folder)])[:16]
    folder = run.folder / "model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return Model(manifest["id"], folder, manifest)


@pytest.fixture
def written(tmp_path) -> Any:
    """A project whose experts wrote answers to 40 prompts of 20 customers; prompts p-40 to p-47 nobody has answered."""
    project = Project.create(tmp_path / "desk", annotators={"gold_share": 0.0}, redundancy={"min_judgments": 1, "max_judgments": 2})
    project.add_question("reply", "write", instructions="Answer kindly.")
    rows = [{"id": f"p-{n:02}", "prompt": prompt_of(n), "group": f"customer-{n // 2}"} for n in range(48)]
    project.add_items(rows)
    project.add_annotator("expert")
    for n in range(40):
        project.judge(f"p-{n:02}", "reply", annotator="expert", answer=f"We send another {THINGS[n % 18]} to you, order {n}.")
    yield project
    project.close()


def prompt_of(n: int) -> str:
    """No two are nearly the same."""
    return f"My {THINGS[n % 18]} and the {THINGS[(n * 7 + 3) % 18]} came broken on day {n * 37} with {THINGS[(n * 5 + 1) % 18]} number {n}"


@pytest.fixture
def snapshot(written):
    return written.snapshot("reply", name="v1")


@pytest.fixture
def base(tmp_path):
    """A folder that stands for a base."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def answer_all() -> Callable[..., list[tuple[str, str]]]:
    """Somebody answers what runs ask, which is handed out before all else, by a function (question, content) -> answer.

    What they answered, in order: (question, item).
    """

    def answering(project: Any, answer: Callable[[str, Any], Any], who: str = "ann") -> list[tuple[str, str]]:
        seen = []
        project.add_annotator(who)
        while (taken := project.next(who)) is not None and project.question(taken.question).purpose:
            seen.append((taken.question, taken.item))
            project.submit(taken.slot, who, answer(taken.question, taken.content))
        return seen

    return answering
