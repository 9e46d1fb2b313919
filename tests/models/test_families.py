"""Every family, from training to serving: train, save, merge, load, score through the local provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoConfig

from preceptor.generation import LocalClassifier, LocalProvider
from preceptor.models import load_causal, load_tokenizer
from preceptor.models.chat_template import build_conversation
from preceptor.models.families import FAMILIES, OTHER_FAMILY, get_model_family
from preceptor.models.parity import check_parity_stages, compare_with_trained, load_recorded_scores
from preceptor.training import TrainingRun, recipes
from tiny_models import DECODERS, ENCODERS, NEXT, Answered, made_snapshot, save_decoder, save_encoder

SFT = {"learning_rate": 1e-2, "epochs": 6, "batch_size": 16, "dtype": "float32", "rank": 8, "evals_per_epoch": 1}
CLASSIFY = {"learning_rate": 1e-2, "epochs": 12, "batch_size": 16, "dtype": "float32", "min_steps": 1, "evals_per_epoch": 1}


@dataclass(frozen=True)
class Labelled:
    """Sentences about numbers or colours."""

    train: list[Answered]
    validation: list[Answered]
    digest: str = "f" * 64
    answers: tuple[str, ...] = ("colour", "number")
    target_kind: str = "nominal"
    test: list[Answered] = field(default_factory=list)

    def rows(self, split: str) -> Iterator[Answered]:
        return iter(getattr(self, split))


def labelled() -> Labelled:
    rows = [
        Answered(
            f"r{number}",
            {"prompt": f"What comes after {word}? {'It is. ' * (number % 3)}"},
            {"number" if word in NUMBERS else "colour": 1.0},
        )
        for number, word in enumerate([*NEXT] * 10)
    ]
    return Labelled(rows[:48], rows[48:])


NUMBERS = ("one", "two", "three")


def train(recipe: str, run: TrainingRun, **options):
    chosen = recipes.get(recipe)
    return chosen(run, chosen.Options(**options))


@pytest.mark.parametrize("adapter", ["lora", "none"])
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_learns_to_answer_and_is_served_as_it_was_trained(name, adapter, tmp_path):
    snapshot, base = made_snapshot(), save_decoder(name, tmp_path / "base")
    rate = 1e-2 if adapter == "lora" else 3e-3
    model = train(
        "sft", TrainingRun(tmp_path / "run", base, snapshot, base_name="tiny"), **{**SFT, "adapter": adapter, "learning_rate": rate}
    )
    talks = {row.id: build_conversation(row.content, next(iter(row.target))) for row in snapshot.validation}

    kind, trained = load_recorded_scores(model.path)
    assert kind == "causal"
    found = check_parity_stages(model.path, talks, base=base)
    assert [stage.stage for stage in found] == [*(["unmerged", "merged"] if adapter == "lora" else []), "reloaded", "alone"]
    served = compare_with_trained("served", trained, lambda: LocalProvider(model.path).score_rows(talks), "float32")
    assert [stage.summary for stage in (*found, served)] == ["the same"] * (len(found) + 1)

    before = start_saying(base, model.path, talks, tmp_path)
    rise = np.concatenate([*trained.log_probabilities.values()]).mean() - np.concatenate([*before.values()]).mean()
    assert rise >= 0.5
    tokenizer = load_tokenizer(model.path)
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert load_causal(model.path).generation_config.pad_token_id == tokenizer.pad_token_id
    assert load_causal(model.path).config.tie_word_embeddings == load_causal(base).config.tie_word_embeddings


def start_saying(base: Path, trained: Path, talks, tmp_path: Path):
    """What the base says of the same tokens."""
    from preceptor.models.causal_lm import prepare_causal
    from preceptor.models.parity import score_completions

    tokenizer = load_tokenizer(trained)
    return score_completions(prepare_causal(base, tokenizer), tokenizer, talks).log_probabilities


@pytest.mark.parametrize("adapter", ["lora", "none"])
@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_learns_to_classify_and_is_served_as_it_was_trained(name, adapter, tmp_path):
    snapshot, base = labelled(), save_encoder(name, tmp_path / "base")
    rate = 1e-2
    model = train(
        "classify",
        TrainingRun(tmp_path / "run", base, snapshot, base_name="tiny"),
        **{**CLASSIFY, "adapter": adapter, "learning_rate": rate},
    )
    texts = {row.id: row.text for row in snapshot.validation}
    kind, trained = load_recorded_scores(model.path)
    assert kind == "classifier"
    found = check_parity_stages(model.path, texts, base=base)
    assert [stage.stage for stage in found] == [*(["unmerged", "merged"] if adapter == "lora" else []), "reloaded", "alone"]
    served = compare_with_trained("served", trained, lambda: LocalClassifier(model.path).score_rows(texts), "float32")
    assert [stage.summary for stage in (*found, served)] == ["the same"] * (len(found) + 1)
    chances = LocalClassifier(model.path).probabilities([*texts.values()])
    right = [chances[row, snapshot.answers.index(next(iter(each.target)))] for row, each in enumerate(snapshot.validation)]
    assert np.mean(np.log(right)) - np.log(1 / 2) >= 0.5


def test_a_decoder_classifies_with_an_adapter_too(tmp_path):
    snapshot, base = labelled(), save_decoder("qwen2", tmp_path / "base")
    model = train("classify", TrainingRun(tmp_path / "run", base, snapshot, base_name="tiny"), **CLASSIFY, adapter="lora")
    texts = {row.id: row.text for row in snapshot.validation}
    assert [stage.summary for stage in check_parity_stages(model.path, texts, base=base)] == ["the same"] * 4


@pytest.mark.parametrize("name", [*DECODERS, *ENCODERS])
def test_a_family_is_known_by_its_configuration(name, tmp_path):
    save = save_decoder if name in DECODERS else save_encoder
    family = get_model_family(AutoConfig.from_pretrained(save(name, tmp_path / "base")))
    named = {"galactica": "Galactica (OPT)", "gpt2": "GPT-2", "qwen2": "Qwen", "qwen3": "Qwen", "gemma2": "Gemma", "bert": "BERT"}
    named |= {"modernbert": "ModernBERT", "falcon-7b": "Falcon", "falcon-40b": "Falcon", "ernie": "ERNIE"}
    assert family.name == ("other" if name.startswith("pythia") else named.get(name, name.capitalize()))
    assert family.padding == ("right" if name in ENCODERS else "left")


def test_no_architecture_belongs_to_two_families():
    kinds = [kind for family in FAMILIES for kind in family.model_types]
    assert len(kinds) == len(set(kinds))
    assert OTHER_FAMILY.adapter_targets == ()
