"""`preceptor train grpo` and `rloo`: from a project's judgments to a model that is proved, measured and traced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from preceptor import Project
from tiny_models import NEXT, save_decoder

OPTIONS = ("num_generations=4", "max_new_tokens=4", "temperature=2", "batch_size=20", "learning_rate=1e-2", "dtype=float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of sentences whose sentiment was judged: prompts for a policy, and what its answers are to be."""
    with closing(Project.create(tmp_path / "shop")) as project:
        project.add_question("sentiment", "choice", options=["good", "bad"])
        asked = [f"Is {word} good{', ' * times}?" for times in range(7) for word in NEXT]
        project.add_items([{"id": f"i-{number}", "text": text} for number, text in enumerate(asked)])
        project.add_annotator("eve")
        for number in range(len(asked)):
            project.judge(f"i-{number}", "sentiment", annotator="eve", answer=("good", "bad")[(number + number // len(NEXT)) % 2])
        project.snapshot("sentiment", name="v1")
    save_decoder("llama", tmp_path / "tiny-llama")
    return tmp_path / "shop"


def command(folder: Path, recipe: str, *more: str) -> list[Any]:
    words = [word for option in (*OPTIONS, *more) for word in ("-o", option)]
    return ["train", recipe, "--project", folder, "--snapshot", "v1", "--base", folder.parent / "tiny-llama", *words]


def test_a_policy_is_trained_proved_and_traced(run: Callable[..., Any], folder: Path):
    done = run(*command(folder, "rloo", "rewards=length>=1, regex:'[aeiou]'*0.5"), "--json")
    assert done.code == 0, done.err
    assert {"model", "metrics", "validation", "seconds", "tokens_per_second", "peak_memory_bytes"} <= done.document.keys()
    with closing(Project.open(folder)) as project:
        model = project.model(done.document["model"])
        assert {"base", "now", "change"} == model.manifest["reward"].keys()
        assert {part["part"]: part["weight"] for part in model.manifest["options"]["rewards"]} == {"length": 1.0, "regex": 0.5}
    proof = run("verify", model.id, "--project", folder, "--base", folder.parent / "tiny-llama", "--json")
    assert proof.document["passed"]
    again = run("train", "--project", folder, "--repeat", model.path / "run.toml", "--base", folder.parent / "tiny-llama", "--json")
    assert again.code == 0, again.err
    assert again.document["model"] == model.id


@pytest.mark.parametrize(
    ("rewards", "words"),
    [
        ("exakt", "no part of a reward is called 'exakt', did you mean 'exact'"),
        ("regex:'['", "is no regular expression"),
        ("model:m-none", "m-none"),
        ("exact", "the reward is 0 for every answer"),
    ],
)
def test_a_reward_that_can_t_be_learnt_from_is_one_clear_line(run: Callable[..., Any], folder: Path, rewards: str, words: str):
    refused = run(*command(folder, "grpo", f"rewards={rewards}"))
    assert refused.code == 1
    assert words in refused.err
    assert "Traceback" not in refused.err


def test_a_dry_run_draws_nothing(run: Callable[..., Any], folder: Path):
    seen = run(*command(folder, "grpo", "rewards=exact"), "--dry-run", "--json")
    assert seen.code == 0, seen.err
    assert seen.document["answers"] == 4 * seen.document["rows"]["train"]
    assert not list((folder / "objects").rglob("looks.json"))
