"""Parity catches what changes a model silently between training and serving: four planted faults, and more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from preceptor.errors import UserError
from preceptor.generation import LocalProvider
from preceptor.models import load_tokenizer
from preceptor.models.batching import encode_texts
from preceptor.models.chat_template import build_conversation
from preceptor.models.classifier import predict_log_probabilities
from preceptor.models.loading import load_classifier
from preceptor.models.parity import TOLERANCE, ParityStage, check_parity_stages, compare_with_trained, load_recorded_scores
from preceptor.training import TrainingRun, recipes
from tiny_families import CLASSIFY, labelled, save_family
from tiny_models import CHATML, made_snapshot, save_decoder

TALKS = {row.id: build_conversation(row.content, next(iter(row.target))) for row in made_snapshot().validation}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A base and a model trained from it with an adapter."""
    folder = tmp_path_factory.mktemp("made")
    base = save_decoder("llama", folder / "base")
    recipe = recipes.get("sft")
    options = recipe.Options(learning_rate=1e-2, epochs=6, batch_size=16, dtype="float32", rank=8)
    return base, recipe(TrainingRun(folder / "run", base, made_snapshot(), base_name="tiny"), options).path


@pytest.fixture
def model(made, tmp_path) -> Path:
    shutil.copytree(made[1], tmp_path / "model")
    return tmp_path / "model"


def all_stages(base: Path, model: Path, dtype: str = "float32") -> dict[str, ParityStage]:
    served = compare_with_trained(
        "served", load_recorded_scores(model)[1], lambda: LocalProvider(model, dtype=dtype).score_rows(TALKS), dtype
    )
    return {stage.stage: stage for stage in (*check_parity_stages(model, TALKS, base=base, dtype=dtype), served)}


def edit(path: Path, change: Callable[[dict], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def another_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ 'Be kind. ' }}" + CHATML)


def a_lost_end_token(model: Path) -> None:
    (model / "chat_template.jinja").write_text(CHATML.replace("<|im_end|>", ""))


def a_wrong_adapter_scale(model: Path) -> None:
    edit(model / "adapter" / "adapter_config.json", lambda config: config.update(lora_alpha=2 * config["lora_alpha"]))


def an_untied_head(model: Path) -> None:
    """The file holds no head, since it was tied to the embeddings; now the configuration says otherwise, and one is drawn."""
    edit(model / "config.json", lambda config: config.update(tie_word_embeddings=False))


def a_merge_at_another_scale(model: Path) -> None:
    """As if α were 1.5 times what it was in training."""
    adapter = load_file(model / "adapter" / "adapter_model.safetensors")
    weights = load_file(model / "model.safetensors")
    for name in [name for name in adapter if "lora_A" in name]:
        product = adapter[name.replace("lora_A", "lora_B")] @ adapter[name]
        weights[name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")] += 0.5 * 2.0 * product
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


def another_tokenizer(model: Path) -> None:
    edit(model / "tokenizer.json", lambda tokenizer: tokenizer["model"]["merges"].pop())


FAULTS = {
    another_template: {"unmerged", "merged", "reloaded", "alone", "served"},
    a_lost_end_token: {"unmerged", "merged", "reloaded", "alone", "served"},
    a_wrong_adapter_scale: {"unmerged", "merged"},
    a_merge_at_another_scale: {"reloaded", "alone", "served"},
    an_untied_head: {"reloaded", "alone", "served"},
    another_tokenizer: {"unmerged", "merged", "reloaded", "alone", "served"},
}


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_sound_model_passes_merged_and_unmerged_in_both_formats(made, dtype):
    found = all_stages(*made, dtype)
    assert {stage.summary for stage in found.values()} == {"the same"}
    assert list(found) == ["unmerged", "merged", "reloaded", "alone", "served"]
    worst = max(stage.difference for stage in found.values())
    assert worst < TOLERANCE[dtype] / 2  # room between what rounding does and what is let pass


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_faults_are_caught_where_they_are(made, model, fault):
    torch.manual_seed(0)
    fault(model)
    found = all_stages(made[0], model)
    assert {name for name, stage in found.items() if not stage.passed} == FAULTS[fault]


@pytest.mark.parametrize("fault", [a_wrong_adapter_scale, an_untied_head, another_template], ids=lambda fault: fault.__name__)
def test_bfloat16_still_shows_gross_faults(made, model, fault):
    """Finer ones drown in its rounding, so that a causal model is always held in float32 too."""
    torch.manual_seed(0)
    fault(model)
    assert not all(stage.passed for stage in all_stages(made[0], model, "bfloat16").values())


def test_without_the_base_what_is_saved_is_still_held_against_training(made):
    assert [stage.stage for stage in check_parity_stages(made[1], TALKS)] == ["reloaded", "alone"]


def test_a_model_without_a_record_is_refused(made):
    with pytest.raises(UserError, match="has no record of what it said"):
        check_parity_stages(made[0], TALKS)


def test_nothing_that_was_trained_on_lies_in_the_record(made):
    kept = (made[1] / "parity.json").read_text()
    assert "What comes after" not in kept
    assert "It is" not in kept


def test_a_row_that_says_another_thing_alone_is_caught(tmp_path):
    """An encoder for which padding isn't nothing: beside longer rows all stages say the same, and the row by itself another thing."""
    base, snapshot, classify = save_family("fnet", tmp_path / "base", decoder=False), labelled(), recipes.get("classify")
    model = classify(
        TrainingRun(tmp_path / "run", base, snapshot, base_name="tiny"), classify.Options(**{**CLASSIFY, "adapter": "none"})
    ).path
    texts = {row.id: row.text for row in snapshot.validation}
    sound = check_parity_stages(model, texts)
    assert [(stage.stage, stage.passed) for stage in sound] == [("reloaded", True), ("alone", True)]
    edit(model / "config.json", lambda config: config.update(alone=False))
    found, tokenizer = load_classifier(model), load_tokenizer(model)
    padded = predict_log_probabilities(found, encode_texts(tokenizer, list(texts.values()), 64), tokenizer.pad_token_id)
    edit(model / "parity.json", lambda record: record.update(rows=dict(zip(texts, padded.tolist(), strict=True))))
    assert [(stage.stage, stage.passed) for stage in check_parity_stages(model, texts)] == [("reloaded", True), ("alone", False)]
