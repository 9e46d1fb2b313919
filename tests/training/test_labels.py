"""`classify` where several labels may apply, and where answers have an order."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.models import TextClassifier, class_probabilities
from preceptor.models.parity import check_parity_stages
from preceptor.training import TrainingRun, recipes
from preceptor.training.examples import order_nested, supervised_answers

FAST = {"learning_rate": 3e-3, "epochs": 10, "batch_size": 8, "dtype": "float32", "min_steps": 1}
LABELS = ("praise", "complaint", "cable")
SIGNS = {"praise": ("good", "great", "love", "fine"), "complaint": ("bad", "awful", "broken", "poor"), "cable": ("cable",)}


def train(run, **options):
    recipe = recipes.get("classify")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="classify"))


def labelled(rows):
    """The same sentences, each label of which applies where one of its words stands, surely or nearly so."""
    return [replace(row, target={label: 0.95 if set(row.text.split()) & set(SIGNS[label]) else 0.04 for label in LABELS}) for row in rows]


@pytest.fixture
def several(snapshot):
    return replace(
        snapshot, train=labelled(snapshot.train), validation=labelled(snapshot.validation), answers=LABELS, target_kind="multilabel"
    )


def test_each_label_has_a_probability_of_its_own(several, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, several, seed=1), epochs=25, patience=20)
    texts = [row.text for row in several.validation]
    found = class_probabilities(model.path, texts)
    truth = np.array([[row.target[label] > 0.5 for label in LABELS] for row in several.validation])
    assert np.mean((found > 0.5) == truth) > 0.8
    assert found.sum(axis=1).max() > 1.2
    assert found.min() > 0
    targets = np.array([[row.target[label] for label in LABELS] for row in several.validation])
    loss = np.average(
        -(targets * np.log(found) + (1 - targets) * np.log(1 - found)).sum(1), weights=[row.weight for row in several.validation]
    )
    best = min(entry["validation_loss"] for entry in model.manifest["history"])
    assert loss == pytest.approx(best, abs=1e-4)
    assert json.loads((model.path / "config.json").read_text())["problem_type"] == "multi_label_classification"
    assert TextClassifier(model.path).answers == LABELS


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_what_is_reloaded_says_the_same(several, base, decoder, tmp_path, adapter):
    for folder in (base, decoder):
        model = train(TrainingRun(tmp_path / folder.name, folder, several), adapter=adapter, epochs=1)
        kept = json.loads((model.path / "parity.json").read_text())["rows"]
        texts = {row.id: row.text for row in several.validation if row.id in kept}
        assert all(stage.passed for stage in check_parity_stages(model.path, texts, base=folder))
        assert class_probabilities(model.path, list(texts.values())).sum(axis=1).std() > 1e-3


def test_hard_targets_keep_each_rows_labels(several, base, tmp_path):
    def sure(rows):
        return [replace(row, target={label: float(chance > 0.5) for label, chance in row.target.items()}) for row in rows]

    hard = replace(several, train=sure(several.train), validation=sure(several.validation))
    first = train(TrainingRun(tmp_path / "a", base, several), targets="hard", epochs=1)
    second = train(TrainingRun(tmp_path / "b", base, hard), targets="soft", epochs=1)
    assert first.manifest["weights"] == second.manifest["weights"]


def test_training_starts_anew_where_one_answer_was_right_before(several, base, tmp_path):
    one = replace(several, train=several.train, target_kind="nominal")
    first = train(TrainingRun(tmp_path / "a", base, one), epochs=1)
    second = train(TrainingRun(tmp_path / "b", first.path, several), epochs=1)
    assert not TextClassifier(first.path).multilabel
    assert TextClassifier(second.path).multilabel


def test_a_label_that_nobody_chose_in_training_is_named(several, base, tmp_path):
    never = replace(several, answers=(*LABELS, "irony"))
    with pytest.raises(UserError, match="no training row has 'irony' as its answer") as caught:
        train(TrainingRun(tmp_path / "run", base, never))
    assert "preceptor question edit" in caught.value.hint
    only_test = replace(several, train=[row for row in several.train if row.target["cable"] < 0.5])
    with pytest.raises(UserError, match="no training row has 'cable'"):
        train(TrainingRun(tmp_path / "run", base, only_test))
    assert not (tmp_path / "run").exists()


def test_a_beginning_of_the_rows_has_every_label(several):
    first = order_nested(several.train, seed=0, several=True)[: len(LABELS)]
    assert {label for row in first for label in supervised_answers(row, several=True)} == set(LABELS)


def test_texts_are_not_answers_to_choose_among(snapshot, base, tmp_path):
    with pytest.raises(UserError, match="the targets of this snapshot are texts") as caught:
        train(TrainingRun(tmp_path / "run", base, replace(snapshot, answers=(), target_kind="text")))
    assert caught.value.hint == "preceptor train sft"


def test_other_recipes_say_that_they_take_one_answer(several, decoder, tmp_path):
    sft = recipes.get("sft")
    with pytest.raises(UserError, match="several labels may apply") as caught:
        sft(TrainingRun(tmp_path / "run", decoder, several), sft.Options())
    assert caught.value.hint == "preceptor train classify"


def test_a_rating_learns_its_order(snapshot, base, tmp_path):
    ordered, plain = replace(snapshot, target_kind="ordinal"), snapshot
    first, second = train(TrainingRun(tmp_path / "a", base, ordered), epochs=4), train(TrainingRun(tmp_path / "b", base, plain), epochs=4)
    assert first.manifest["weights"] != second.manifest["weights"]
    texts = [row.text for row in snapshot.validation]
    found = class_probabilities(first.path, texts)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    targets = np.array([[row.target[answer] for answer in snapshot.answers] for row in snapshot.validation])
    steps = np.abs(found.argmax(axis=1) - targets.argmax(axis=1))
    assert steps.mean() < 0.4
