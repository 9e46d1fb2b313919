"""A Hugging Face folder from elsewhere: taken as it is, proved and measured like one's own."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForSequenceClassification

from preceptor.errors import UserError
from preceptor.models.classifier import TextClassifier
from preceptor.models.parity import check_parity_stages, load_recorded_scores
from preceptor.training import TrainingRun, recipes
from tiny_models import made_snapshot, save_decoder


def taken(folder, base, snapshot, **options):
    recipe = recipes.get("external_model")
    run = TrainingRun(folder / f"run{len(options)}", base, snapshot, base_name="elsewhere")
    return recipe(run, recipe.Options.parse(options, of="external_model"))


@pytest.fixture
def classifier(base, tmp_path):
    """Saves a BERT classifier under any labels: transformers' own class, as most of the Hub's classifiers are."""

    def save(*labels):
        torch.manual_seed(1)
        named = dict(enumerate(labels))
        model = BertForSequenceClassification.from_pretrained(base, id2label=named, label2id={b: a for a, b in named.items()})
        model.save_pretrained(tmp_path / "theirs")
        AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "theirs")
        return tmp_path / "theirs"

    return save


def test_a_classifier_with_labels_in_another_order_and_case_answers_by_the_questions_names(classifier, snapshot, tmp_path):
    theirs = classifier("Positive", "NEGATIVE", "neutral")
    model = taken(tmp_path, theirs, snapshot)
    assert (model.manifest["recipe"], model.manifest["base"]) == ("external_model", "elsewhere")
    made = TextClassifier(model.path)
    assert made.answers == ("positive", "negative", "neutral")
    texts = {row.id: row.text for row in snapshot.validation}
    assert np.array_equal(made.predict(list(texts.values())), TextClassifier(theirs).predict(list(texts.values())))
    kind, said = load_recorded_scores(model.path)
    assert kind == "classifier"
    assert all(stage.passed for stage in check_parity_stages(model.path, {id_: texts[id_] for id_ in said.log_probabilities}))
    assert taken(tmp_path, theirs, snapshot) == model


def test_labels_that_say_nothing_are_named(classifier, snapshot, tmp_path):
    theirs = classifier("LABEL_0", "LABEL_1", "LABEL_2")
    with pytest.raises(UserError) as caught:
        taken(tmp_path, theirs, snapshot)
    assert "labels=LABEL_0=" in caught.value.hint
    model = taken(tmp_path, theirs, snapshot, labels="LABEL_0=positive,LABEL_1=neutral,LABEL_2=negative")
    assert TextClassifier(model.path).answers == ("positive", "neutral", "negative")


def test_a_causal_model_is_taken_with_its_weights_and_template(tmp_path):
    theirs = save_decoder("qwen2", tmp_path / "theirs")
    model = taken(tmp_path, theirs, made_snapshot())
    before, after = load_file(theirs / "model.safetensors"), load_file(model.path / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert load_recorded_scores(model.path)[0] == "causal"
    assert model.manifest["rows"] == {"train": 0, "validation": 12}


@pytest.mark.parametrize(("labels", "named"), [(("positive", "negative"), ""), (("a", "b", "c"), "a=positive"), (("a", "b", "c"), "a")])
def test_labels_that_arent_the_questions_are_refused(classifier, snapshot, tmp_path, labels, named):
    with pytest.raises(UserError):
        taken(tmp_path, classifier(*labels), snapshot, **({"labels": named} if named else {}))
    assert not list(tmp_path.glob("run*/model"))


def test_an_adapter_an_encoder_without_a_head_and_no_model_are_refused_in_a_line(base, snapshot, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    headless = tmp_path / "headless"
    shutil.copytree(base, headless)
    for folder in (adapter, headless, tmp_path / "nowhere"):
        with pytest.raises(UserError) as caught:
            taken(tmp_path, folder, snapshot)
        assert caught.value.hint
