"""The choice of a training recipe: what the available judgments allow, and what short measured trainings show.

Rules decide what can be tried, and give the reason where it can't. Which of several is best is measured: the baseline (classify, sft)
is kept unless another is clearly better on validation rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from preceptor.statistics import compare_paired
from preceptor.types import Estimate, FloatArray

JudgmentForm = Literal["answers", "labels", "texts", "pairs", "thumbs"]
CLASSIFIER_RECIPES = ("classify", "linear_probe", "setfit", "self_training")
MIN_TASKS, MAX_TASK_ROWS = 20, 20  # tasks that reptile needs; rows of a task up to which it is small
FEW_ROWS_PER_CLASS = 64  # rows per answer up to which contrastive pairs paid in measurements
MIN_UNLABELLED = 100  # least items without a judgment from which self-training can learn
MIN_CORRECTED = 50
NO_ENCODER_REASON = "needs an encoder, and the base writes"


@dataclass(frozen=True)
class AvailableData:
    """The data available for training.

    judgment_form: what annotators gave: one of some answers, several labels, a text, the better of two answers, or whether one is good.
    rows: for training. answers: number to choose among. unlabelled: items that nobody has judged. corrected: written answers that replace
    a draft. tasks: groups of training rows, with a median of `task_rows`. is_generative: whether the base model is.
    """

    judgment_form: JudgmentForm
    rows: int
    answers: int = 0
    unlabelled: int = 0
    corrected: int = 0
    tasks: int = 0
    task_rows: int = 0
    is_generative: bool = False


@dataclass(frozen=True)
class RecipeCandidate:
    """A recipe that may be chosen.

    name: of the recipe. is_available: whether it can be tried here; reason: why, in words; is_baseline: whether it is the baseline;
    options: its initial options.
    """

    name: str
    is_available: bool
    reason: str
    is_baseline: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecipePilot:
    """What a short training by a recipe showed on validation rows.

    value: the validation metric. gain: over `baseline`, see `estimate_gains`. seconds: of training, on so many `rows`.
    """

    name: str
    value: Estimate
    gain: Estimate | None
    baseline: str
    seconds: float
    rows: int


def list_candidates(found: AvailableData) -> list[RecipeCandidate]:
    """List every recipe, the baseline first, each with the reason for or against it."""
    own = {
        "answers": _answer_candidates,
        "labels": _label_candidates,
        "texts": _text_candidates,
        "pairs": _pair_candidates,
        "thumbs": _feedback_candidates,
    }[found.judgment_form](found)
    return [*own, _reptile_candidate(found), *_reward_candidates(found), *_excluded_candidates(found, {each.name for each in own})]


def _answer_candidates(found: AvailableData) -> list[RecipeCandidate]:
    each = found.rows / max(found.answers, 1)
    small = each <= FEW_ROWS_PER_CLASS
    start = {"adapter": "lora"} if found.is_generative else {}
    contrasts = f"{each:.0f} rows an answer" + ("" if small else ", enough for plain training")
    return [
        RecipeCandidate("classify", True, f"{found.rows:,} rows with one of {found.answers} answers", is_baseline=True, options=start),
        RecipeCandidate("linear_probe", not found.is_generative, NO_ENCODER_REASON if found.is_generative else "costs seconds"),
        RecipeCandidate("setfit", small and not found.is_generative, NO_ENCODER_REASON if found.is_generative else contrasts),
        _self_training_candidate(found, start),
    ]


def _self_training_candidate(found: AvailableData, start: Mapping[str, Any]) -> RecipeCandidate:
    enough = found.unlabelled >= MIN_UNLABELLED
    about = f"{found.unlabelled:,} items that nobody has judged" + ("" if enough else f", and it takes {MIN_UNLABELLED}")
    return RecipeCandidate("self_training", enough, about, options=start)


def _label_candidates(found: AvailableData) -> list[RecipeCandidate]:
    return [
        RecipeCandidate(
            "classify", True, f"{found.rows:,} rows with several labels at once, which no other recipe learns", is_baseline=True
        )
    ]


def _text_candidates(found: AvailableData) -> list[RecipeCandidate]:
    corrected = f"{found.corrected:,} written answers that replace a draft"
    enough = found.corrected >= MIN_CORRECTED
    return [
        RecipeCandidate("sft", True, f"{found.rows:,} answers that people wrote", is_baseline=True),
        RecipeCandidate("dpo", enough, corrected + (": pairs of draft and correction" if enough else f", and it takes {MIN_CORRECTED}")),
        RecipeCandidate("dagger", True, "the same as sft until experts correct what the model says: --human-feedback"),
    ]


def _pair_candidates(found: AvailableData) -> list[RecipeCandidate]:
    pairs = f"{found.rows:,} comparisons of two answers"
    return [
        RecipeCandidate("dpo", found.is_generative, pairs if found.is_generative else "the base doesn't write", is_baseline=True),
        RecipeCandidate("reward", True, f"{pairs}; makes a judge, which grpo or rloo then follow"),
        RecipeCandidate(
            "sft", False, "comparisons have no written answer; the better ones alone would lose what was worse about the others"
        ),
    ]


def _feedback_candidates(found: AvailableData) -> list[RecipeCandidate]:
    thumbs = f"{found.rows:,} single answers called good or bad"
    return [
        RecipeCandidate("kto", found.is_generative, thumbs if found.is_generative else "the base doesn't write", is_baseline=True),
        RecipeCandidate("dpo", False, "there are no two answers to one prompt"),
    ]


def _reptile_candidate(found: AvailableData) -> RecipeCandidate:
    about = f"{found.tasks:,} groups of about {found.task_rows:,} rows"
    able = found.judgment_form in ("answers", "texts") and found.tasks >= MIN_TASKS and 2 <= found.task_rows <= MAX_TASK_ROWS
    return RecipeCandidate(
        "reptile", able, about + (": if each is a task, and new ones come" if able else f"; it takes {MIN_TASKS} small tasks")
    )


def _reward_candidates(found: AvailableData) -> list[RecipeCandidate]:
    why = "needs a reward: a check of what is written, or a reward model of people's comparisons"
    return [RecipeCandidate(name, False, why) for name in ("grpo", "rloo")]


def _excluded_candidates(found: AvailableData, named: set[str]) -> list[RecipeCandidate]:
    whys = {
        "classify": "there are no answers to choose among",
        "sft": "nobody wrote an answer",
        "dpo": "there are no comparisons or corrections",
        "kto": "nobody called single answers good or bad",
        "reward": "there are no comparisons",
        "dagger": "no expert wrote an answer",
        "self_training": "there are no answers to choose among",
        "distill": "needs a better model to follow: -o teacher=MODEL",
    }
    return [RecipeCandidate(name, False, why) for name, why in whys.items() if name not in named]


def estimate_gains(values: Mapping[str, FloatArray], plain: str, groups: Sequence[str]) -> dict[str, Estimate]:
    """Estimate, per recipe, the gain over the recipe `plain` in the metric of each validation row; rows of a group are dependent.

    The intervals hold for all of them at once in 95 of 100 cases (Bonferroni): each has confidence 1 - 0.05 / m where m are compared with
    `plain`, or the luckiest of several equals would seem better.
    """
    rivals, clusters = [name for name in values if name != plain], np.array(groups)
    confidence = 1 - 0.05 / max(len(rivals), 1)
    return {name: compare_paired(values[name], values[plain], clusters=clusters, confidence=confidence) for name in rivals}


@dataclass(frozen=True)
class RecipeDecision:
    """The recipe to train with, the reason in sentences (`summary`), and all candidates and pilots that were considered."""

    chosen: RecipeCandidate
    candidates: Sequence[RecipeCandidate]
    pilots: Mapping[str, RecipePilot]
    summary: str


def choose_recipe(considered: Sequence[RecipeCandidate], pilots: Sequence[RecipePilot]) -> RecipeDecision:
    """Choose the baseline, unless another's gain over it is clear (its interval is above 0, see `estimate_gains`).

    Of several with a clear gain the one with the greatest is chosen. Without an available baseline the first available candidate takes
    its place.
    """
    measured = {pilot.name: pilot for pilot in pilots}
    plain = next((each for each in considered if each.is_baseline and each.is_available), None) or next(
        each for each in considered if each.is_available
    )
    better = [
        each for each in considered if each.is_available and each.name != plain.name and _is_clear_gain(measured.get(each.name), plain.name)
    ]
    chosen = max(better, key=lambda each: _gain_value(measured[each.name]), default=plain)
    return RecipeDecision(chosen, considered, measured, _decision_summary(chosen, plain, considered, measured))


def _is_clear_gain(pilot: RecipePilot | None, plain: str) -> bool:
    return pilot is not None and pilot.gain is not None and pilot.baseline == plain and pilot.gain.low > 0


def _gain_value(pilot: RecipePilot) -> float:
    return 0.0 if pilot.gain is None else pilot.gain.value


def _decision_summary(
    chosen: RecipeCandidate, plain: RecipeCandidate, considered: Sequence[RecipeCandidate], measured: Mapping[str, RecipePilot]
) -> str:
    pilot = measured.get(chosen.name)
    tried = [each.name for each in considered if each.is_available and each.name != plain.name and each.name in measured]
    if chosen.name != plain.name and pilot is not None and pilot.gain is not None:
        wider = f" (a {pilot.gain.confidence:.1%} interval, since {len(tried)} were held against that)" if len(tried) > 1 else ""
        return f"{chosen.name}: on validation it gains {pilot.gain.format_points()} over plain {plain.name}{wider}."
    if tried:
        return f"Plain {plain.name} is the one to take: {', '.join(tried)} brought no gain on validation that is more than chance."
    if pilot is not None and pilot.gain is not None and pilot.gain.low <= 0:
        return (
            f"{chosen.name} is what these judgments allow, but its gain over {pilot.baseline} may be chance: {pilot.gain.format_points()}."
        )
    why = (
        "nothing else can be learnt from these judgments" if len([each for each in considered if each.is_available]) == 1 else chosen.reason
    )
    return f"{'Plain ' if chosen.is_baseline else ''}{chosen.name}: {why}."
