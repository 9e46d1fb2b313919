"""A model leaves as a folder or a GGUF file, proved by reading it back; what isn't the same doesn't leave."""

from __future__ import annotations

import json
import shutil

import pytest

from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.formats.durable_files import write_checksums
from preceptor.models.causal_lm import ChatModel
from preceptor.release.model_export import export_model
from tiny_models import made_rows, save_decoder

OPTIONS = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 16, "dtype": "float32", "rank": 8}


def taught(folder, family):
    rows = [{"prompt": f"{row.content['prompt']} ({at})", "completion": next(iter(row.target))} for at, row in enumerate(made_rows(40, 1))]
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.create(folder / "answers")
    project.read(folder / "faq.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=3)
    return project, project.train("sft", snapshot="v1", base=save_decoder(family, folder / "base"), **OPTIONS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    project, model = taught(tmp_path_factory.mktemp("made"), "llama")
    yield project, model
    project.close()


def test_the_command_writes_both_forms_and_says_how_they_were_proved(made, run, tmp_path):
    project, model = made
    for name, form in (("merged", "folder"), ("model.gguf", "gguf")):
        done = run("export", "model", model.id, tmp_path / name, "--project", project.folder, "--json").document
        assert (done["form"], done["passed"]) == (form, True)
        assert done["stage"]["difference"] < 1e-5
    shown = run("export", "model", model.id, tmp_path / "again.gguf", "--dtype", "bfloat16", "--project", project.folder)
    assert "read back, it says of" in shown.out
    files = ["again.Modelfile", "again.gguf", "merged", "model.Modelfile", "model.gguf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert (tmp_path / "again.Modelfile").read_text().startswith("FROM ./again.gguf\n")


def test_the_folder_is_read_without_preceptor_and_has_a_card(made, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    project, model = made
    export_model(project, model, tmp_path / "merged")
    folder = tmp_path / "merged"
    assert not (folder / "adapter").exists()
    assert not (folder / "parity.json").exists()
    assert not (folder / "manifest.json").exists(), "it shows rows of the training"
    assert "was never evaluated on test rows" in (folder / "README.md").read_text()
    asked = [{"role": "user", "content": "What comes after red?"}]
    chat = ChatModel(model.path)
    theirs, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]
    assert ids[0].tolist() == chat.encode_prompt(asked)
    assert (theirs(ids).logits == chat.model(ids).logits).all()
    assert {theirs.generation_config.eos_token_id} == chat.end_tokens  # where another's generation stops


def test_an_altered_model_does_not_leave(made, tmp_path):
    from safetensors.torch import load_file, save_file

    project, model = made
    other = tmp_path / "other"
    shutil.copytree(model.path, other)
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * 1.5
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    write_checksums(other)
    altered = type(model)(**{**{name: getattr(model, name) for name in model.__dataclass_fields__}, "path": other})
    out = tmp_path / "out"
    out.mkdir()
    for name in ("merged", "m.gguf"):
        with pytest.raises(UserError, match="isn't exported: read back, it gives other log-probabilities"):
            export_model(project, altered, out / name)
    assert list(out.iterdir()) == []


def test_bad_targets_are_refused(made, tmp_path, run):
    project, model = made
    (tmp_path / "there.gguf").write_text("mine")
    with pytest.raises(UserError, match="nothing is overwritten"):
        export_model(project, model, tmp_path / "there.gguf")
    with pytest.raises(UserError, match="no such folder"):
        export_model(project, model, tmp_path / "nowhere" / "m.gguf")
    with pytest.raises(UserError, match="a folder holds the model's own weights"):
        export_model(project, model, tmp_path / "folder", dtype="bfloat16")
    assert (tmp_path / "there.gguf").read_text() == "mine"
    ran = run("export", "model", model.id, model.id, tmp_path / "x.gguf", "--project", project.folder)
    assert (ran.code, "one model is exported at a time" in ran.err) == (1, True)
    ran = run("export", "items", "more", tmp_path / "x.csv", "--project", project.folder)
    assert (ran.code, "is written to one file" in ran.err) == (1, True)


def test_a_family_that_llama_cpp_has_otherwise_is_refused_and_leaves_as_a_folder(tmp_path):
    project, model = taught(tmp_path, "gpt2")
    with pytest.raises(UserError, match="of the Llama family, and this is gpt2"):
        export_model(project, model, tmp_path / "m.gguf")
    assert export_model(project, model, tmp_path / "folder")["passed"]
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
    project.close()
