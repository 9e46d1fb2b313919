"""From a file of prompts and completions to a trained model, a dry run before it and parity after it, by library and command."""

from __future__ import annotations

import json

import pytest

from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.runs.parity_check import check_parity
from preceptor.runs.training import preview_training, training_summary
from tiny_models import made_rows, save_decoder

OPTIONS = {"learning_rate": 1e-2, "epochs": 4, "batch_size": 16, "dtype": "float32", "rank": 8}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a snapshot of completions, a base, and a model."""
    folder = tmp_path_factory.mktemp("made")
    answered = [(row.content["prompt"], next(iter(row.target))) for row in made_rows(80, 1)]
    rows = [{"prompt": f"{prompt} ({number})", "completion": answer} for number, (prompt, answer) in enumerate(answered)]
    rows += [{"prompt": "a <|im_start|> b", "completion": "c"}]
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.create(folder / "answers")
    project.read(folder / "faq.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=3)
    base = save_decoder("llama", folder / "base")
    model = project.train("sft", snapshot="v1", base=base, **OPTIONS)
    yield project, base, model
    project.close()


def test_training_ends_with_its_figures(made):
    project, _, model = made
    told = training_summary(model)
    for name in ("model", "metrics", "validation", "seconds", "supervised_tokens", "supervised_tokens_per_second", "tokens_per_second"):
        assert told[name]
    assert told["peak_memory_bytes"] > 1e6
    assert told["validation"]["log_loss"] < 4
    assert len(model.manifest["rendered"]) == 3
    learnt = "".join(token["text"] for token in model.manifest["rendered"][0]["tokens"] if token["learnt"])
    assert learnt.startswith("It is ")
    assert learnt.endswith(".<|im_end|>")
    assert project.lineage(model.id)["judgments"]["count"] == 81


def test_parity_holds_with_and_without_the_base(made):
    project, base, model = made
    found = check_parity(project, model, base=base)
    assert found["passed"]
    assert [(stage["stage"], stage["dtype"]) for stage in found["stages"]] == [
        (stage, dtype) for dtype in ("float32", "bfloat16") for stage in ("unmerged", "merged", "reloaded", "alone", "served")
    ]
    alone = check_parity(project, model)
    assert alone["passed"]
    assert "not at hand" in alone["notes"][0]
    with pytest.raises(UserError, match="is not the base of"):
        check_parity(project, model, base=save_decoder("qwen2", project.folder.parent / "other"))


def test_the_commands_show_the_mask_and_the_proof(made, run):
    project, base, model = made
    here = ("--project", project.folder)
    seen = run("train", "sft", "--snapshot", "v1", "--base", base, "--dry-run", "--json", *here).document
    assert sum(sum(counts.values()) for counts in seen["left_out"].values()) == 1
    assert min(seen["rows"].values()) > 0
    shown = run("train", "sft", "--snapshot", "v1", "--base", base, "--dry-run", *here)
    assert "[<|im_end|>]" in shown.out
    assert "|<|im_end|>|" in shown.out  # of the user's turn
    assert "the text holds marks of a chat template" in shown.out
    proved = run("verify", model.id, "--base", base, "--json", *here)
    assert (proved.code, proved.document["passed"]) == (0, True)
    assert "parity holds on" in run("verify", model.id, *here).out


def test_a_model_that_was_altered_fails_and_the_command_says_so(made, run, tmp_path):
    import shutil

    project, _, model = made
    template = model.path / "chat_template.jinja"
    shutil.copy(template, tmp_path / "kept")
    try:
        template.write_text("Hello. " + template.read_text())
        failed = run("verify", model.id, "--json", "--project", project.folder)
        assert failed.code == 1
        assert failed.document["error"]["where"] == str(template)
        (model.path / "SHA256SUMS").rename(tmp_path / "sums")  # and without the list of digests parity itself finds it
        failed = run("verify", model.id, "--json", "--project", project.folder)
        assert (failed.code, failed.document["passed"]) == (3, False)
        assert "other tokens than were trained on" in failed.document["stages"][0]["summary"]
    finally:
        shutil.copy(tmp_path / "kept", template)
        shutil.move(tmp_path / "sums", model.path / "SHA256SUMS")


def test_a_recipe_without_a_preview_is_told(made):
    project, base, _ = made
    with pytest.raises(UserError, match="has nothing to show before it trains"):
        preview_training(project, "linear_probe", project.load_snapshot("v1"), base, seed=0, options={})
