"""Which technique to train with: what the judgments at hand allow, and what short measured trainings say of it.

Rules say what can be tried, and why not where it can't. Which of several pays is measured: the plain way (classify, sft) is kept
unless another is clearly better on validation rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.statistics import compare_paired

Judged = Literal["answers", "labels", "texts", "pairs", "thumbs"]
CLASSIFIERS = ("classify", "linear_probe", "contrastive", "self_train")
ENOUGH_TASKS, SMALL_TASK = 20, 20  # tasks that reptile needs; rows of one from which it can stand alone
FEW_A_CLASS = 64  # rows of an answer up to which contrastive pairs were seen to pay
LEAST_TEXTS = 100  # without a judgment: fewer teach nothing
LEAST_CORRECTED = 50
NO_ENCODER = "needs an encoder, and the base writes"


@dataclass(frozen=True)
class AtHand:
    """What there is to learn from.

    judged: what people were asked: one of some answers, several labels, a text, the better of two answers, whether one is good.
    rows: for training; answers: to choose among; unlabelled: items that nobody has judged; corrected: written answers that replace
    a draft; tasks: groups of training rows, of `task_rows` in the middle; writes: whether the base does.
    """

    judged: Judged
    rows: int
    answers: int = 0
    unlabelled: int = 0
    corrected: int = 0
    tasks: int = 0
    task_rows: int = 0
    writes: bool = False


@dataclass(frozen=True)
class Candidate:
    """A technique by its recipe's name. able: whether it can be tried here; why: in words; options: to begin with; plain: the usual way."""

    name: str
    able: bool
    why: str
    plain: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pilot:
    """What a short training of a technique showed on validation rows.

    gain: over the plain way, see `gains`, or over `beside` where that is something else; seconds: of training, at so many `rows`.
    """

    name: str
    value: Estimate
    gain: Estimate | None
    beside: str
    seconds: float
    rows: int


def candidates(found: AtHand) -> list[Candidate]:
    """Every technique, the plain one first, each with what speaks for it or against it."""
    own = {"answers": _of_answers, "labels": _of_labels, "texts": _of_texts, "pairs": _of_pairs, "thumbs": _of_thumbs}[found.judged](found)
    return [*own, _reptile(found), *_with_reward(found), *_others(found, {each.name for each in own})]


def _of_answers(found: AtHand) -> list[Candidate]:
    each = found.rows / max(found.answers, 1)
    small = each <= FEW_A_CLASS
    start = {"adapter": "lora"} if found.writes else {}
    contrasts = f"{each:.0f} rows an answer" + ("" if small else ", enough for plain training")
    return [
        Candidate("classify", True, f"{found.rows:,} rows with one of {found.answers} answers", plain=True, options=start),
        Candidate("linear_probe", not found.writes, NO_ENCODER if found.writes else "costs seconds"),
        Candidate("contrastive", small and not found.writes, NO_ENCODER if found.writes else contrasts),
        _self_train(found, start),
    ]


def _self_train(found: AtHand, start: Mapping[str, Any]) -> Candidate:
    enough = found.unlabelled >= LEAST_TEXTS
    about = f"{found.unlabelled:,} items that nobody has judged" + ("" if enough else f", and it takes {LEAST_TEXTS}")
    return Candidate("self_train", enough, about, options=start)


def _of_labels(found: AtHand) -> list[Candidate]:
    return [Candidate("classify", True, f"{found.rows:,} rows with several labels at once, which no other recipe learns", plain=True)]


def _of_texts(found: AtHand) -> list[Candidate]:
    corrected = f"{found.corrected:,} written answers that replace a draft"
    enough = found.corrected >= LEAST_CORRECTED
    return [
        Candidate("sft", True, f"{found.rows:,} answers that people wrote", plain=True),
        Candidate("dpo", enough, corrected + (": pairs of draft and correction" if enough else f", and it takes {LEAST_CORRECTED}")),
        Candidate("imitate", True, "the same as sft until experts correct what the model says: --ask-people"),
    ]


def _of_pairs(found: AtHand) -> list[Candidate]:
    pairs = f"{found.rows:,} comparisons of two answers"
    return [
        Candidate("dpo", found.writes, pairs if found.writes else "the base doesn't write", plain=True),
        Candidate("reward", True, f"{pairs}; makes a judge, which grpo or rloo then follow"),
        Candidate("sft", False, "comparisons have no written answer; the better ones alone would lose what was worse about the others"),
    ]


def _of_thumbs(found: AtHand) -> list[Candidate]:
    thumbs = f"{found.rows:,} single answers called good or bad"
    return [
        Candidate("kto", found.writes, thumbs if found.writes else "the base doesn't write", plain=True),
        Candidate("dpo", False, "there are no two answers to one prompt"),
    ]


def _reptile(found: AtHand) -> Candidate:
    about = f"{found.tasks:,} groups of about {found.task_rows:,} rows"
    able = found.judged in ("answers", "texts") and found.tasks >= ENOUGH_TASKS and 2 <= found.task_rows <= SMALL_TASK
    return Candidate(
        "reptile", able, about + (": if each is a task, and new ones come" if able else f"; it takes {ENOUGH_TASKS} small tasks")
    )


def _with_reward(found: AtHand) -> list[Candidate]:
    why = "needs a reward: a check of what is written, or a reward model of people's comparisons"
    return [Candidate(name, False, why) for name in ("grpo", "rloo")]


def _others(found: AtHand, named: set[str]) -> list[Candidate]:
    whys = {
        "classify": "there are no answers to choose among",
        "sft": "nobody wrote an answer",
        "dpo": "there are no comparisons or corrections",
        "kto": "nobody called single answers good or bad",
        "reward": "there are no comparisons",
        "imitate": "no expert wrote an answer",
        "self_train": "there are no answers to choose among",
        "distil": "needs a better model to follow: -o teacher=MODEL",
    }
    return [Candidate(name, False, why) for name, why in whys.items() if name not in named]


def gains(values: Mapping[str, FloatArray], plain: str, groups: Sequence[str]) -> dict[str, Estimate]:
    """By technique, how much more than the plain way it has of what is counted for each validation row, rows of a group together.

    The intervals hold for all of them at once in 95 of 100 cases (Bonferroni): each is of 1 - 0.05 / m where m are held against the
    plain way, or the luckiest of several equals would pass for better.
    """
    rivals, clusters = [name for name in values if name != plain], np.array(groups)
    confidence = 1 - 0.05 / max(len(rivals), 1)
    return {name: compare_paired(values[name], values[plain], clusters=clusters, confidence=confidence) for name in rivals}


@dataclass(frozen=True)
class Decision:
    """The technique to train with, why in sentences, and all that was looked at."""

    chosen: Candidate
    candidates: Sequence[Candidate]
    pilots: Mapping[str, Pilot]
    words: str


def decide(considered: Sequence[Candidate], pilots: Sequence[Pilot]) -> Decision:
    """The plain way, unless another's gain over it is more than chance (its interval is above 0, see `gains`): then the one with the
    greatest gain."""
    measured = {pilot.name: pilot for pilot in pilots}
    plain = next((each for each in considered if each.plain and each.able), None) or next(each for each in considered if each.able)
    better = [each for each in considered if each.able and each.name != plain.name and _clear(measured.get(each.name), plain.name)]
    chosen = max(better, key=lambda each: _gain(measured[each.name]), default=plain)
    return Decision(chosen, considered, measured, _words(chosen, plain, considered, measured))


def _clear(pilot: Pilot | None, plain: str) -> bool:
    return pilot is not None and pilot.gain is not None and pilot.beside == plain and pilot.gain.low > 0


def _gain(pilot: Pilot) -> float:
    return 0.0 if pilot.gain is None else pilot.gain.value


def _words(chosen: Candidate, plain: Candidate, considered: Sequence[Candidate], measured: Mapping[str, Pilot]) -> str:
    pilot = measured.get(chosen.name)
    tried = [each.name for each in considered if each.able and each.name != plain.name and each.name in measured]
    if chosen.name != plain.name and pilot is not None and pilot.gain is not None:
        wider = f" (a {pilot.gain.confidence:.1%} interval, since {len(tried)} were held against that)" if len(tried) > 1 else ""
        return f"{chosen.name}: on validation it gains {pilot.gain.in_points()} over plain {plain.name}{wider}."
    if tried:
        return f"Plain {plain.name} is the one to take: {', '.join(tried)} brought no gain on validation that is more than chance."
    if pilot is not None and pilot.gain is not None and pilot.gain.low <= 0:
        return f"{chosen.name} is what these judgments allow, but its gain over {pilot.beside} may be chance: {pilot.gain.in_points()}."
    why = "nothing else can be learnt from these judgments" if len([each for each in considered if each.able]) == 1 else chosen.why
    return f"{'Plain ' if chosen.plain else ''}{chosen.name}: {why}."
