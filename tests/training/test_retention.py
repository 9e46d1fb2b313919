from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from preceptor import Estimate
from preceptor.errors import UserError
from preceptor.training import TrainingRun, recipes
from preceptor.training.forgetting import MIN_GAIN, MIN_KEPT, BaselineCapabilities, CandidateScore, keeps_meaning, select_nearest
from preceptor.training.run_file import RUN_FILE, RunFile
from preceptor.training.sft import SFTObjective
from preceptor.types import MultipleChoiceItem, RetentionData
from tiny_models import NEXT, Answered, Answers, made_snapshot, save_decoder, save_encoder

FAST = {"learning_rate": 1e-2, "epochs": 6, "batch_size": 16, "dtype": "float32", "rank": 8, "patience": 99}
BEFORE = {after: word for word, after in NEXT.items()}


def before(number: int) -> Answered:
    """A row of what the base knows: which word comes before another."""
    word = list(BEFORE)[number % len(BEFORE)]
    return Answered(f"general-{number}", {"prompt": f"Which is before {word}{'!' * (number % 5)}?"}, {f"Before it is {BEFORE[word]}.": 1.0})


def conversations(numbers: range) -> dict[str, Any]:
    return {
        row.id: [{"role": "user", "content": row.content["prompt"]}, {"role": "assistant", "content": next(iter(row.target))}]
        for row in map(before, numbers)
    }


GENERAL = RetentionData(
    replay=conversations(range(100, 140)),
    texts=conversations(range(200, 230)),
    suites={
        "before": [
            MultipleChoiceItem(word, f"Which is before {word}?", tuple(f"Before it is {each}." for each in NEXT), list(NEXT).index(known))
            for word, known in BEFORE.items()
        ]
    },
)


def train(run: TrainingRun, **options: Any) -> Any:
    recipe = recipes.get("sft")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="sft"))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A tiny model that has learnt something which training on other answers makes it forget."""
    folder = tmp_path_factory.mktemp("knowing")
    rows = Answers([before(number) for number in range(100)], [before(number) for number in range(100, 112)])
    return train(TrainingRun(folder / "run", save_decoder("llama", folder / "tiny-llama"), rows), adapter="none", epochs=12).path


@pytest.fixture
def run(tmp_path, base) -> TrainingRun:
    return TrainingRun(tmp_path / "run", base, made_snapshot(), seed=1, base_name="tiny", general=GENERAL)


def test_without_a_remedy_forgetting_is_measured_and_told(run):
    told = train(run).manifest
    about = told["retention"]
    assert (about["asked"], about["remedy"], about["alpha"], about["origin"], about["texts"]) == ("none", "none", 1.0, "general texts", 30)
    assert about["kept"]["value"] < 0.9, "training on other answers makes this base forget"
    assert about["kept"]["low"] < about["kept"]["value"] < about["kept"]["high"]
    assert about["suites"]["before"]["change"]["n"] == len(BEFORE)
    assert any("log-probability on 30 general texts" in sentence for sentence in told["summary"])
    assert all(entry["validation_kl_to_base"] > 0 for entry in told["history"]), "how far it is from the base is told as it trains"


def test_without_general_texts_and_remedies_nothing_is_measured(run):
    assert "retention" not in train(replace(run, general=None), epochs=1).manifest


@pytest.mark.parametrize("adapter", ["none", "lora", "dora"])
def test_the_way_back_ends_at_the_base_and_keeps_more_the_further_back(run, base, adapter):
    model = train(run, adapter=adapter, retention="alpha")
    points = model.manifest["retention"]["points"]
    kept = [point["kept"]["value"] for point in points]
    assert kept == sorted(kept), "points go from what was trained back to the base"
    assert points[-1]["gain"] < points[0]["gain"] == 1.0
    assert model.manifest["retention"]["kept"]["value"] > kept[0]
    if adapter == "none":
        tuned, start = (load_file(folder / "model.safetensors") for folder in (model.path, base))
        assert set(tuned) == set(start)
    else:
        alpha = model.manifest["retention"]["alpha"]
        config = json.loads((model.path / "adapter" / "adapter_config.json").read_text())
        assert config["lora_alpha"] == pytest.approx(16 * alpha), "what is saved with the adapter is the scale that was chosen"


@pytest.mark.parametrize("remedy", ["slower", "l2sp", "replay", "kl"])
def test_each_remedy_keeps_more_than_none(run, tmp_path, remedy):
    plain = train(replace(run, folder=tmp_path / "plain")).manifest["retention"]
    helped = train(run, retention=remedy).manifest["retention"]
    assert helped["remedy"] == remedy
    assert helped["kept"]["value"] > plain["kept"]["value"] + 0.02


def test_auto_meets_its_bounds_or_says_that_it_does_not(run):
    manifest = train(run, retention="auto", epochs=3).manifest
    about = manifest["retention"]
    assert about["points"][0]["remedy"] == "none"
    assert about["points"][0]["alpha"] == 1.0, "the cheapest comes first"
    if about["met"]:
        assert about["kept"]["low"] >= MIN_KEPT
        assert about["gain"] >= MIN_GAIN
    else:
        assert any("No remedy kept 99%" in sentence for sentence in manifest["summary"])


def test_rounds_follow_the_round_before(run):
    about = train(run, retention="recursive", epochs=2).manifest["retention"]
    assert [point["remedy"] for point in about["points"]] == ["none", "round 2", "round 3"]


def test_a_suite_that_was_lost_leads_further_back(run, monkeypatch):
    """What keeps the texts and has the gain, but has lost a suite, isn't enough: the way back goes on."""
    seen = []

    def suites(self, model):
        seen.append(model)
        lost = -0.1 if len(seen) == 1 else 0.0
        return {
            "summary": {
                "change": {"value": lost, "low": lost, "high": lost, "n": 9, "method": "made up", "confidence": 0.95},
                "counts": True,
            }
        }

    monkeypatch.setattr(BaselineCapabilities, "suite_changes", suites)
    monkeypatch.setattr("preceptor.training.forgetting.MIN_KEPT", 0.0)
    monkeypatch.setattr("preceptor.training.forgetting.MIN_GAIN", 0.0)
    about = train(run, retention="auto", epochs=1).manifest["retention"]
    assert [point["alpha"] for point in about["points"]] == [1.0, 0.8]
    assert (about["alpha"], about["met"], about["suites"]["summary"]["change"]["value"]) == (0.8, True, 0.0)


def test_a_slower_run_is_repeated_as_it_was(run):
    """The file holds the rate that was settled, of which the remedy takes its part again."""
    first = train(run, retention="slower", epochs=1)
    found = RunFile.read(first.path / RUN_FILE)
    assert found.options["learning_rate"] == pytest.approx(3 * first.manifest["learning_rate"])
    again = train(replace(run, folder=run.folder.parent / "again"), **found.options)
    assert again.manifest["weights"] == first.manifest["weights"]


def test_texts_alone_are_no_replay(run):
    alone = replace(run, general=RetentionData(texts=GENERAL.texts))
    with pytest.raises(UserError, match="no general text to train on again"):
        train(alone, retention="replay", epochs=1)


def test_suites_alone_are_measured_without_a_text(run):
    told = train(replace(run, general=RetentionData(suites=GENERAL.suites)), epochs=1).manifest
    assert set(told["retention"]["suites"]) == set(GENERAL.suites)
    assert "kept" not in told["retention"]
    assert any("Accuracy on" in sentence for sentence in told["summary"])


def test_texts_that_the_base_writes_stand_in_for_general_ones(run):
    about = train(replace(run, general=None), retention="kl", epochs=2).manifest["retention"]
    assert "wrote itself" in about["origin"]
    assert about["texts"] > 0


def test_a_killed_ladder_goes_on_where_it_was(run, monkeypatch):
    """Each training is done once: what died while the second was looked at takes up the first as it was."""
    monkeypatch.setattr(SFTObjective, "remedies", ("slower",))
    whole = train(replace(run, folder=run.folder.parent / "whole"), retention="auto", epochs=3).manifest
    measured, standing = [], BaselineCapabilities.score

    def dies(self, *args):
        measured.append(args)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return standing(self, *args)

    monkeypatch.setattr(BaselineCapabilities, "score", dies)
    with pytest.raises(KeyboardInterrupt):
        train(run, retention="auto", epochs=3)
    monkeypatch.setattr(BaselineCapabilities, "score", standing)
    again = train(run, retention="auto", epochs=3).manifest
    assert again["weights"] == whole["weights"]
    assert again["retention"]["points"] == whole["retention"]["points"]
    assert not (run.folder / "remedies").exists()


def test_rewriting_is_refused_where_no_answer_survives_it(run):
    rows = made_snapshot()
    said = [replace(row, target={"sun moon star dog": 1.0}) for row in rows.train]
    with pytest.raises(UserError, match="own wording"):
        train(replace(run, snapshot=replace(rows, train=said)), retention="distill", epochs=1)


@pytest.mark.parametrize(
    ("reference", "text", "same"),
    [
        ("card arrival", "The intent is: Card arrival.", True),
        ("card arrival", "card delivery", False),
        ("yes", "yesterday", False),
        ("The drug lowers blood pressure in most adults.", "In most adults the drug lowers the pressure of blood.", True),
        ("The drug lowers blood pressure in most adults.", "The drug does nothing.", False),
        ("yes", "", False),
    ],
)
def test_what_counts_as_saying_the_same(reference, text, same):
    assert keeps_meaning(reference, text) is same


def test_general_texts_that_do_not_fit_are_refused(run):
    long = [{"role": "user", "content": "Which is before red? " * 50}, {"role": "assistant", "content": "Before it is three."}]
    with pytest.raises(UserError, match="no general text fits"):
        train(replace(run, general=replace(GENERAL, texts={"long": long})), epochs=1)


def test_where_none_meets_the_bounds_the_nearest_is_taken():
    def point(kept: float, gain: float) -> CandidateScore:
        return CandidateScore("none", 1.0, Estimate(kept, kept - 0.001, kept + 0.001, 30, "m"), 1.0, gain)

    assert select_nearest([point(0.95, 1.0), point(0.995, 0.9), point(0.999, 0.5)]).gain == 0.9
    assert select_nearest([point(0.95, 1.0), point(0.97, 0.4)]).kept.value == 0.97
    assert np.isclose(point(0.992, 0.99).kept.low, 0.991)


def test_a_classifier_is_held_to_what_its_encoder_knew(tmp_path, snapshot):
    """Which answer belongs to which question is measured by vectors; without general texts, by halves of the task's own."""
    recipe, encoder = recipes.get("classify"), save_encoder("bert", tmp_path / "tiny-bert")

    def kept(name: str, **options: Any) -> dict[str, Any]:
        fast = {"learning_rate": 3e-3, "epochs": 4, "batch_size": 8, "dtype": "float32", "patience": 99, **options}
        return dict(
            recipe(TrainingRun(tmp_path / name, encoder, snapshot), recipe.Options.parse(fast, of="classify")).manifest["retention"]
        )

    back = kept("alpha", retention="alpha")
    assert "halves" in back["origin"]
    assert back["points"][0]["alpha"] == 1.0
    rounds = kept("rounds", retention="recursive")
    assert [point["remedy"] for point in rounds["points"]] == ["none", "round 2", "round 3"]
    assert kept("auto", retention="auto")["asked"] == "auto"
    with pytest.raises(UserError, match="retention"):
        kept("replay", retention="replay")
