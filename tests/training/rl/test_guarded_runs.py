"""A policy that learns under a guard, and with people in its loop, from the options to the manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from preceptor import Estimate
from preceptor.training import TrainingRun, recipes
from preceptor.training.recipe import FeedbackAnswer, FeedbackKind, FeedbackPending, FeedbackRequest, HeldOutAnswer
from preceptor.types import Model
from tiny_models import made_snapshot, save_decoder

VOWEL = re.compile("[aeiou]")
OPTIONS = {
    "rewards": "regex:'[aeiou]', length>=1*0.1", "temperature": 2, "max_new_tokens": 6, "num_generations": 4, "epochs": 2, "batch_size": 10,
    "learning_rate": 2e-2, "adapter": "none", "dtype": "float32", "max_kl": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder("llama", tmp_path_factory.mktemp("base") / "llama")


def trained(folder: Path, base: Path, **more: Any) -> Model:
    recipe = recipes.get("grpo")
    made: Model = recipe(TrainingRun(folder, base, made_snapshot(), seed=1, **more), recipe.Options.parse(OPTIONS, of="grpo"))
    return made


def share(written: Sequence[HeldOutAnswer], wanted: bool) -> Mapping[str, Estimate]:
    """How many answers have a vowel, or have none, as sure as of a thousand."""
    value = sum((VOWEL.search(each.text) is not None) == wanted for each in written) / len(written)
    return {"preference": Estimate(value, value - 0.02, value + 0.02, 1000, "a stand-in")}


def test_a_reward_that_the_judge_of_human_preference_contradicts_ends_the_run(tmp_path: Path, base: Path) -> None:
    found = trained(tmp_path / "run", base, measure=lambda written: share(written, False)).manifest
    assert found["stopped"]["sign"] in ("falls", "lags")
    assert found["best_step"] < found["looks"][-1]["step"]
    assert found["stopped"]["summary"] in found["summary"]
    assert any(said.startswith("No look was better than the base by the judge of human preference") for said in found["summary"])


def test_a_judge_that_agrees_lets_it_run_to_its_end(tmp_path: Path, base: Path) -> None:
    found = trained(tmp_path / "run", base, measure=lambda written: share(written, True)).manifest
    assert found["stopped"] is None
    assert found["looks"][-1]["step"] == found["steps"]
    assert set(found["samples"]["best"][0]["parts"]) == {"regex:[aeiou]", "length>=1"}


class People:
    """They prefer answers without vowels, once they are at their desks."""

    def __init__(self) -> None:
        self.there, self.asked = False, dict[str, FeedbackRequest]()

    def __call__(self, kind: FeedbackKind, asked: Sequence[FeedbackRequest]) -> Mapping[str, FeedbackAnswer]:
        self.asked |= {each.id: each for each in asked}
        return {each.id: self._say(each) for each in asked} if self.there else {}

    def _say(self, asked: FeedbackRequest) -> FeedbackAnswer:
        vowels = [VOWEL.search(text) is not None for text in asked.content["responses"]]
        if len(vowels) == 1:
            return "bad" if vowels[0] else "good"
        return {"tie": 1.0} if vowels[0] == vowels[1] else {"1" if vowels[0] else "0": 1.0}


def test_a_run_waits_for_people_goes_on_with_their_word_and_tells_of_it(tmp_path: Path, base: Path) -> None:
    people = People()
    with pytest.raises(FeedbackPending, match="answers of the policy wait for people's word"):
        trained(tmp_path / "run", base, ask=people)
    asked = dict(people.asked)
    with pytest.raises(FeedbackPending):
        trained(tmp_path / "run", base, ask=people)
    assert people.asked == asked  # the same again asks nothing new
    people.there = True
    found = trained(tmp_path / "run", base, ask=people).manifest
    assert len(people.asked) > len(asked)
    assert any("answers of the policy were put before people" in words for words in found["summary"])
    alone = trained(tmp_path / "alone", base).manifest
    assert alone["weights"] != found["weights"]
