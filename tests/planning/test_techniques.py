from __future__ import annotations

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.planning.recipe_choice import AvailableData, RecipeCandidate, RecipePilot, choose_recipe, estimate_gains, list_candidates
from preceptor.training import recipes


def able(found):
    return [each.name for each in list_candidates(found) if each.is_available]


def of(found, name):
    return next(each for each in list_candidates(found) if each.name == name)


def test_what_can_be_tried_follows_from_what_is_at_hand(subtests):
    for found, names in [
        (AvailableData("answers", 100, answers=3, unlabelled=2600), ["classify", "linear_probe", "setfit", "self_training"]),
        (AvailableData("answers", 900, answers=3, unlabelled=20), ["classify", "linear_probe"]),
        (AvailableData("answers", 100, answers=3, unlabelled=2600, is_generative=True), ["classify", "self_training"]),
        (AvailableData("answers", 300, answers=3, tasks=40, task_rows=7), ["classify", "linear_probe", "reptile"]),
        (AvailableData("labels", 300, answers=5), ["classify"]),
        (AvailableData("texts", 300, is_generative=True), ["sft", "dagger"]),
        (AvailableData("texts", 300, corrected=120, is_generative=True), ["sft", "dpo", "dagger"]),
        (AvailableData("texts", 300, tasks=25, task_rows=12, is_generative=True), ["sft", "dagger", "reptile"]),
        (AvailableData("pairs", 300, answers=3, is_generative=True), ["dpo", "reward"]),
        (AvailableData("pairs", 300, answers=3), ["reward"]),
        (AvailableData("thumbs", 300, answers=2, is_generative=True), ["kto"]),
    ]:
        with subtests.test(found=found, names=names):
            assert sorted(able(found)) == sorted(names)
            if found.is_generative or found.judgment_form == "answers":
                assert of(found, names[0]).is_baseline


def test_every_technique_is_spoken_of_once_and_exists():
    for judged in ("answers", "labels", "texts", "pairs", "thumbs"):
        named = [each.name for each in list_candidates(AvailableData(judged, 100, answers=2, is_generative=True))]
        assert len(named) == len(set(named))
        assert {*named} <= {*recipes.names()}
        assert {"classify", "sft", "dpo", "kto", "reward", "grpo", "rloo", "dagger", "distill", "self_training", "reptile"} <= {*named}
        assert all(each.reason for each in list_candidates(AvailableData(judged, 100, answers=2)))


def pilot(name, value, low, high, beside="classify"):
    gain = None if name == beside else Estimate(value, low, high, 60, "paired", 0.975)
    return RecipePilot(name, Estimate(0.7 + value, 0.6, 0.8, 60, "share"), gain, beside, 10.0, 100)


CONSIDERED = [
    RecipeCandidate("classify", True, "rows", is_baseline=True),
    RecipeCandidate("linear_probe", True, "r"),
    RecipeCandidate("self_training", True, "texts"),
]


def test_the_plain_way_is_kept_unless_a_gain_is_more_than_chance():
    found = choose_recipe(
        CONSIDERED, [pilot("classify", 0, 0, 0), pilot("linear_probe", 0.03, -0.01, 0.07), pilot("self_training", -0.02, -0.06, 0.02)]
    )
    assert found.chosen.name == "classify"
    assert (
        found.summary
        == "Plain classify is the one to take: linear_probe, self_training brought no gain on validation that is more than chance."
    )


def test_of_clear_gains_the_greatest_is_taken():
    found = choose_recipe(
        CONSIDERED, [pilot("classify", 0, 0, 0), pilot("linear_probe", 0.03, 0.01, 0.05), pilot("self_training", 0.06, 0.001, 0.12)]
    )
    assert found.chosen.name == "self_training"
    assert found.summary == (
        "self_training: on validation it gains +6.0 points [+0.1, +12.0] over plain classify "
        "(a 97.5% interval, since 2 were held against that)."
    )
    alone = choose_recipe(CONSIDERED[:2], [pilot("classify", 0, 0, 0), pilot("linear_probe", 0.03, 0.01, 0.05)])
    assert alone.summary == "linear_probe: on validation it gains +3.0 points [+1.0, +5.0] over plain classify."


def test_the_luckiest_of_several_must_be_clearer_than_one_alone():
    """Gains between the limit of one comparison and that of three: enough for one, and not for one of three."""
    groups = [str(number) for number in range(100)]
    plain, lucky = np.zeros(100), np.where(np.arange(100) < 50, 1.0, -0.65) / 4  # 2.1 standard errors above nothing
    alone = estimate_gains({"classify": plain, "linear_probe": plain + lucky}, "classify", groups)
    three = estimate_gains(
        {"classify": plain, **dict.fromkeys(("linear_probe", "setfit", "self_training"), plain + lucky)}, "classify", groups
    )
    assert (alone["linear_probe"].confidence, three["linear_probe"].confidence) == (0.95, pytest.approx(1 - 0.05 / 3))
    assert alone["linear_probe"].value == three["linear_probe"].value
    assert three["linear_probe"].low < 0 < alone["linear_probe"].low


def test_among_equals_the_plain_way_is_left_in_one_case_of_twenty_at_most():
    random, left = np.random.default_rng(4), 0
    groups, names = [str(number) for number in range(40)], ("linear_probe", "setfit", "self_training", "reptile", "few", "more")
    for _ in range(400):
        values = {"classify": np.zeros(40), **{name: random.normal(0, 0.3, 40) for name in names}}
        left += any(gain.low > 0 for gain in estimate_gains(values, "classify", groups).values())
    assert left / 400 <= 0.05  # at 95 % each it would be 14 of 100


def test_without_a_pilot_the_plain_way_is_taken_with_its_reason():
    assert choose_recipe(CONSIDERED, []).chosen.name == "classify"
    only = choose_recipe(list_candidates(AvailableData("labels", 30, answers=3)), [])
    assert only.summary == "Plain classify: nothing else can be learnt from these judgments."


def test_a_gain_that_may_be_chance_is_said_where_there_is_no_other_way():
    considered = list_candidates(AvailableData("pairs", 30, answers=3, is_generative=True))
    found = choose_recipe(considered, [pilot("dpo", 0.05, -0.1, 0.2, beside="a coin")])
    assert (found.chosen.name, "its gain over a coin may be chance: +5.0 points [-10.0, +20.0]" in found.summary) == ("dpo", True)
