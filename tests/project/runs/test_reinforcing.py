"""A policy that a project's own policy file and sources reward, from its rows to its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preceptor import Project
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.errors import UserError
from preceptor.runs.evaluation import build_training_section
from preceptor.types import Model
from tiny_models import made_rows, save_decoder

POLICY = '[[rule]]\nid = "plain"\nkind = "regex"\ntitle = "Says nothing with a vowel"\npatterns = ["[aeiou]"]\n'
OPTIONS = {
    "temperature": 2, "num_generations": 4, "max_new_tokens": 4, "batch_size": 16, "learning_rate": 1e-2, "adapter": "none",
    "dtype": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """A project of 60 prompts with sources, and a tiny base."""
    folder = tmp_path_factory.mktemp("made")
    rows = [
        {"prompt": f"{row.content['prompt']} ({number})", "completion": next(iter(row.target)), "sources": ["Green comes after red."]}
        for number, row in enumerate(made_rows(60, 1))
    ]
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "policy.toml").write_text(POLICY)
    project = Project.create(folder / "answers")
    project.read(folder / "faq.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=3)
    yield project, save_decoder("llama", folder / "base"), folder
    project.close()


def test_what_was_left_out_is_told_in_the_words_of_its_recipe() -> None:
    names = ("base", "dtype", "learning_rate", "best_step", "summary", "seconds", "texts_per_second", "peak_memory_bytes", "history")

    def told(recipe: str, *reasons: str) -> list[str]:
        manifest = {**dict.fromkeys(names), "recipe": recipe, "left_out": {"train": dict.fromkeys(reasons, 1)}}
        return list(build_training_section(Model("m-1", Path(), manifest))["left_out"]["train"])

    assert told("rloo", "empty", "window") == [
        "the prompt is empty", "prompt and answer (max_new_tokens) are longer than the model reads at once"
    ]  # fmt: skip
    assert told("sft", "empty") == ["the completion is empty"]
    assert told("reptile", "no task") == ["its content has no field that names its task"]


def test_a_policys_rules_and_sources_reward_and_the_report_shows_what_for(made) -> None:
    project, base, folder = made
    spec = f"policy:{folder / 'policy.toml'}, claims*0.5"
    model = project.train("grpo", snapshot="v1", base=base, rewards=spec, **OPTIONS)
    best = model.manifest["samples"]["best"][0]
    assert set(best["parts"]) == {f"policy:{folder / 'policy.toml'}", "claims"}
    assert best["parts"][f"policy:{folder / 'policy.toml'}"] in (0.5, 1.0)
    page = project.evaluate(model, base=base).to_html()
    assert "What it was rewarded for" in page
    assert "What it wrote to held-out prompts: the best, middle and worst by reward" in page


def test_another_policy_under_the_same_name_is_another_run(made) -> None:
    project, base, folder = made
    path = folder / "changing.toml"
    path.write_text(POLICY)
    options = {**OPTIONS, "rewards": f"policy:{path}", "snapshot": "v1", "base": base}
    first = project.train("grpo", **options)
    assert project.train("grpo", **options).id == first.id
    path.write_text(POLICY.replace("aeiou", "xyz "))
    assert project.train("grpo", **options).id != first.id


def test_a_reward_that_cannot_be_made_is_said_before_anything_is_trained(made) -> None:
    project, base, folder = made
    for rewards, message in [
        ("polisy:x", "did you mean 'policy'?"),
        (f"policy:{folder / 'nowhere.toml'}", "can't be read"),
        ("model:m-0123", "m-0123"),
    ]:
        with pytest.raises(UserError) as error:
            project.train("grpo", snapshot="v1", base=base, rewards=rewards, **OPTIONS)
        assert message in str(error.value)
    assert not list((Path(project.folder) / "runs").glob("*/checkpoints/*"))
