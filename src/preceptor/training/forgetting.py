"""Measure and mitigate catastrophic forgetting: general data, remedies, and a search for the cheapest one that is enough.

The general texts of a run: those that it was given, or those that its base writes.

What a run's base knew, and how much of it a model made of it still does: the same general texts and questions, paired.

Targets in the base's own words: it is shown question and answer, and writes the answer anew; what says something else is dropped.

Remedies against forgetting, each a change of what is trained (`Task`) or how (`Plan`).

slower    a third of the learning rate
l2sp      weights are pulled back to where they began (Li et al. 2018); not AdamW's decay, which pulls them to zero
replay    general texts are trained on among the task's rows
kl        on general texts the model follows its base's whole distribution, not the text alone
distil    answers are rewritten by the base itself, and kept where they still say the same (Yang et al. 2024)

Keeping what the base knew: what is left of it is measured, and remedies are tried from the cheapest to the dearest.

Each rung of the ladder is a training with one remedy (see `remedies`), and then the way back from its weights to the base's
(see `interpolating`), which costs no training. What is chosen is chosen on validation rows and on one part of the general
texts; evaluation confirms it on others.
"""

from __future__ import annotations

import gc
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from preceptor.errors import UserError
from preceptor.generation.offline import generate_answers, generate_conversations
from preceptor.generation.sampling import GenerationRequest, SamplingParams
from preceptor.models.adapters import unwrap_model
from preceptor.models.capability_probes import render_general_texts
from preceptor.models.causal_lm import ChatModel
from preceptor.models.chat_template import ChatMessage, RenderedConversation, RenderError, build_conversation, render_conversation
from preceptor.models.weight_interpolation import WeightInterpolation
from preceptor.statistics import compare_suite_accuracy, retained_log_probability
from preceptor.training.examples import TrainingExamples, build_masked_examples, top_answer
from preceptor.training.objective import RetentionObjective, TrainConfig, TrainingTask
from preceptor.training.recipe import TrainingProgress, TrainingRun
from preceptor.training.run_folder import REMEDIES_FOLDER as FOLDER
from preceptor.training.run_folder import cached_json
from preceptor.training.trainer import RecipeTrainer, train_model
from preceptor.types import Estimate, RetentionData

_MIN_WORDS = 6  # of a text that has two halves
GENERATED_TEXTS = 96  # conversations that a base writes where there are no general texts


def split_into_halves(texts: Mapping[str, str]) -> dict[str, list[ChatMessage]]:
    """Texts as an asked and an answered half, for encoders, which write none: do the halves still belong together?"""
    parts = {id_: text.split() for id_, text in texts.items()}
    found = {id_: (words[: len(words) // 2], words[len(words) // 2 :]) for id_, words in parts.items() if len(words) >= _MIN_WORDS}
    return {
        id_: [{"role": "user", "content": " ".join(first)}, {"role": "assistant", "content": " ".join(second)}]
        for id_, (first, second) in found.items()
    }


def causal_general_data(run: TrainingRun) -> RetentionData:
    """The run's own; what it lacks of texts, its base writes: a third to measure by, the rest to train on."""
    given = run.general or RetentionData()
    if given.texts:
        return given
    written = cached_json(run.folder / "self-written.json", partial(_generate_texts, run))
    half = {id_: turns for id_, turns in written.items() if _is_evaluation_third(id_)}
    replay = given.replay or {id_: turns for id_, turns in written.items() if id_ not in half}
    return RetentionData(replay, half, given.suites, "texts that the base wrote itself")


def encoder_general_data(run: TrainingRun) -> RetentionData:
    """The run's own, or the halves of its validation texts."""
    given = run.general or RetentionData()
    if given.texts:
        return given
    texts = split_into_halves({row.id: row.text for row in run.snapshot.rows("validation")})
    if not texts:
        raise UserError(
            f"no validation text has {_MIN_WORDS} words, to be cut in halves", "name general texts: [general] in preceptor.toml"
        )
    return replace(given, texts=texts, origin="validation texts, cut in halves")


def _generate_texts(run: TrainingRun) -> dict[str, list[ChatMessage]]:
    def tell(done: int) -> None:
        run.progress(TrainingProgress("the base writes general texts", done, GENERATED_TEXTS))

    written = generate_conversations(ChatModel(run.base), GENERATED_TEXTS, seed=run.seed, progress=tell)
    if len(written) < 3:
        raise UserError(f"{run.base.name} writes no texts of its own to measure by", "name general texts: [general] in preceptor.toml")
    return {f"self-{number}": turns for number, turns in enumerate(written)}


def _is_evaluation_third(id_: str) -> bool:
    return hashlib.sha256(id_.encode()).digest()[0] % 3 == 0


def build_general_examples(texts: Mapping[str, Sequence[ChatMessage]], tokenizer: Any, *, max_tokens: int) -> TrainingExamples:
    """General texts as rows to train on, in the order of `render_general_texts`."""
    found = render_general_texts(tokenizer, texts, most=None, max_tokens=max_tokens)
    return build_masked_examples(found, found, found.values(), [1.0] * len(found))


@dataclass(frozen=True)
class RetentionScore:
    """Where a model stands: kept, the share of general log-probability that is left; its validation loss in nats; gain, the share
    of the way from the base's validation loss to that of the model as trained."""

    kept: Estimate
    loss: float
    gain: float


class BaselineCapabilities:
    """The base's figures on general texts and questions, measured once and kept in the run's folder."""

    def __init__(self, task: TrainingTask, tokenizer: Any, general: RetentionData) -> None:
        self.task, self.tokenizer, self.general = task, tokenizer, general
        self.objective: RetentionObjective = task.objective  # type: ignore[assignment]
        known = cached_json(task.run.folder / "knew.json", partial(self._measure_base, task.create_model()))
        if general.texts and not known["texts"]:
            raise UserError("no general text fits what this model reads", "name shorter ones: [general] in preceptor.toml")
        self.base_log_probabilities, self.base_loss = np.array(known["texts"]), float(known["loss"])
        self.base_correct = {name: np.array(right) for name, right in known["suites"].items()}

    def score(self, model: Any, trained_loss: float | None = None) -> RetentionScore:
        """trained_loss: validation loss of the model as trained, against which the gain is counted; its own when None."""
        loss = self.task.objective.validate(model, self.task.validation).loss
        gained, most = self.base_loss - loss, self.base_loss - (loss if trained_loss is None else trained_loss)
        share = gained / most if most > 0 else float(gained >= most)
        now = self.objective.general_log_probabilities(model, self.general.texts, self.task.max_tokens)
        return RetentionScore(retained_log_probability(self.base_log_probabilities, now), loss, share)

    def suite_changes(self, model: Any) -> dict[str, dict[str, Any]]:
        """What became of each suite's accuracy, see `compare_suite_accuracy`."""
        return {
            name: compare_suite_accuracy(
                self.base_correct[name], self.objective.correct_answers(model, asked, self.task.max_tokens), [each.chance for each in asked]
            )
            for name, asked in self.general.suites.items()
        }

    def _measure_base(self, base: Any) -> dict[str, Any]:
        limit = self.task.max_tokens
        return {
            "texts": self.objective.general_log_probabilities(base, self.general.texts, limit).tolist(),
            "loss": self.task.objective.validate(base, self.task.validation).loss,
            "suites": {name: self.objective.correct_answers(base, asked, limit).tolist() for name, asked in self.general.suites.items()},
        }


MAX_LENGTH_RATIO = 2.0  # a rewritten answer may be so many times as long
MIN_WORD_OVERLAP = 0.6  # share of the reference's words that a longer answer must keep
EXACT_MATCH_WORDS = 5  # words up to which an answer must stand in the rewritten one as it is
_REWRITE_PROMPT = (
    "Question: {asked}\n\nAnswer: {answer}\n\nWrite this answer again in your own words. Keep what it says. Write the answer only."
)


def rewrite_answers(task: TrainingTask, tokenizer: Any) -> TrainingExamples:
    """The training rows, those whose rewritten answer survives (see `keeps_meaning`) with it. UserError when none does."""
    turns = {row.id: build_conversation(row.content, top_answer(row)) for row in task.run.snapshot.rows("train")}
    asked = {id_: turns[id_] for id_ in task.train.ids if id_ in turns}
    found = cached_json(task.run.folder / "rewritten.json", partial(_generate_rewrites, task, asked))
    new = {id_: text for id_, text in found.items() if keeps_meaning(asked[id_][-1]["content"], text)}
    said = {id_: [*asked[id_][:-1], {"role": "assistant", "content": text}] for id_, text in new.items()}
    cut = {id_: _render_if_fits(tokenizer, turns, task.max_tokens) for id_, turns in said.items()}
    tokens, targets = list(task.train.tokens), list(task.train.targets)
    first = {id_: row for row, id_ in reversed(list(enumerate(task.train.ids)))}  # the most probable of a row's answers
    survived = [(row, each) for id_, row in first.items() if (each := cut.get(id_)) is not None]
    if not survived:
        raise UserError("the base's own wording says something else than the answer in every row", "take another retention")
    for row, each in survived:
        tokens[row], targets[row] = each.tokens, np.array(each.supervised, dtype=bool)
    learnt = np.array([mask[1:].sum() for mask in targets], dtype=np.int64)
    return replace(task.train, tokens=tokens, targets=targets, supervised_counts=learnt)


def keeps_meaning(reference: str, text: str) -> bool:
    """Whether a rewritten answer still says what the reference does: a short one word for word, of a longer one most words."""
    wanted, said = _split_words(reference), _split_words(text)
    if not wanted or not said:
        return False
    if len(wanted) <= EXACT_MATCH_WORDS:
        return f" {' '.join(wanted)} " in f" {' '.join(said)} "
    return (Counter(wanted) & Counter(said)).total() >= MIN_WORD_OVERLAP * len(wanted)


def _split_words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _render_if_fits(tokenizer: Any, turns: Sequence[ChatMessage], max_tokens: int) -> RenderedConversation | None:
    try:
        return render_conversation(tokenizer, turns, max_tokens)
    except RenderError:
        return None


def _generate_rewrites(task: TrainingTask, asked: Mapping[str, Sequence[ChatMessage]]) -> dict[str, str]:
    """The base's own wording of each answer, greedily, by row; those that the base can't read are left out."""
    chat = ChatModel(task.run.base)
    requests: dict[str, GenerationRequest] = {}
    for id_, turns in asked.items():
        answer = turns[-1]["content"]
        wish = {"role": "user", "content": _REWRITE_PROMPT.format(asked=turns[-2]["content"], answer=answer)}
        room = int(MAX_LENGTH_RATIO * len(chat.tokenizer(answer)["input_ids"])) + 8
        with suppress(UserError):
            prompt = chat.encode_prompt([*turns[:-2], wish])
            chat.max_answer_tokens(prompt, room, room)
            requests[id_] = GenerationRequest(prompt, room, SamplingParams(temperature=0.0))
    total = len(requests)
    told = generate_answers(
        chat, list(requests.values()), progress=lambda done: task.run.progress(TrainingProgress("rewriting answers", done, total))
    )
    return {id_: answer.text.strip() for id_, (answer,) in zip(requests, told, strict=True)}


LOWER_RATE_FACTOR = 1 / 3
REPLAY_SHARE = 0.25  # of the tokens, and of the loss, that general texts get

RetentionRemedy = Callable[[TrainingTask, TrainConfig, BaselineCapabilities], tuple[TrainingTask, TrainConfig]]


def lower_learning_rate(task: TrainingTask, plan: TrainConfig, knowledge: BaselineCapabilities) -> tuple[TrainingTask, TrainConfig]:
    """A third of the learning rate."""
    return task, replace(plan, learning_rate=plan.learning_rate * LOWER_RATE_FACTOR)


def add_l2_sp(task: TrainingTask, plan: TrainConfig, knowledge: BaselineCapabilities) -> tuple[TrainingTask, TrainConfig]:
    """Pulled back to the base at each step."""
    return task, replace(plan, l2_sp=True)


def add_replay(task: TrainingTask, plan: TrainConfig, knowledge: BaselineCapabilities) -> tuple[TrainingTask, TrainConfig]:
    """General texts among the rows."""
    return replace(task, train=task.train.concatenate(select_general_rows(task, knowledge))), plan


def add_kl_anchor(task: TrainingTask, plan: TrainConfig, knowledge: BaselineCapabilities) -> tuple[TrainingTask, TrainConfig]:
    """General texts among the rows, on which the base is followed."""
    general = knowledge.objective.with_teacher(task.create_model(), select_general_rows(task, knowledge), 1.0)
    return replace(task, train=task.train.concatenate(general)), plan


def add_self_distillation(task: TrainingTask, plan: TrainConfig, knowledge: BaselineCapabilities) -> tuple[TrainingTask, TrainConfig]:
    """Answers in the base's own words, where these still say the same."""
    return replace(task, train=rewrite_answers(task, knowledge.tokenizer)), plan


REMEDIES: Mapping[str, RetentionRemedy] = {
    "slower": lower_learning_rate,
    "l2sp": add_l2_sp,
    "replay": add_replay,
    "kl": add_kl_anchor,
    "distil": add_self_distillation,
}


def select_general_rows(task: TrainingTask, knowledge: BaselineCapabilities) -> TrainingExamples:
    """So many general texts that they are `REPLAY_SHARE` of all tokens, and count for as much of the loss at most."""
    found = build_general_examples(knowledge.general.replay, knowledge.tokenizer, max_tokens=task.max_tokens)
    if not len(found):
        raise UserError("there is no general text to train on again", "name some that fit max_tokens: [general] replay in preceptor.toml")
    room = REPLAY_SHARE / (1 - REPLAY_SHARE) * sum(task.train.lengths)
    taken = found.select(range(max(1, int(np.searchsorted(np.cumsum(found.lengths), room)))))
    most = REPLAY_SHARE / (1 - REPLAY_SHARE) * float(task.train.loss_weights.sum())
    return replace(taken, weights=taken.weights * min(1.0, most / float(taken.loss_weights.sum())))


RetentionMethod = Literal["none", "auto", "alpha", "slower", "l2sp", "replay", "kl", "distil", "recursive"]
RetentionWithoutTexts = Literal["none", "auto", "alpha", "slower", "l2sp"]  # of recipes that train on no texts but their own
MIN_KEPT, MIN_GAIN, MAX_ACCURACY_DROP = (
    0.99,
    0.98,
    0.03,
)  # general log-probability kept at least; task's gain at least; accuracy lost at most
ALPHAS = (1.0, 0.8, 0.6, 0.4)
TEACHER_SHARE = 0.5  # share of the loss by which a round follows the round before; the rest is people's answers
RECURSIVE_ROUNDS = 3  # more, and each only repeats the one before with less of people's answers


@dataclass(frozen=True)
class RetentionCandidate:
    """A training to try: its name, the task and plan that it has, and how far back along its way to look."""

    name: str
    make: Callable[[], tuple[TrainingTask, TrainConfig]]
    alphas: Sequence[float]


@dataclass(frozen=True)
class CandidateScore:
    """One model that was looked at: `alpha` of the way of a rung, and where it stands.

    suites: what became of the suites (see `suite_change`), where they were asked.
    """

    candidate: str
    alpha: float
    kept: Estimate
    loss: float
    gain: float
    suites: Mapping[str, Any] | None = None

    @property
    def meets_retention(self) -> bool:
        """Whether it has kept what it must, all of its interval, and lost too much on no suite that was asked and counts."""
        asked = (self.suites or {}).values()
        return self.kept.low >= MIN_KEPT and all(suite["change"]["value"] >= -MAX_ACCURACY_DROP for suite in asked if suite["counts"])

    @property
    def meets_all(self) -> bool:
        """Whether it also has what it was trained for."""
        return self.meets_retention and self.gain >= MIN_GAIN

    def to_dict(self) -> dict[str, Any]:
        where = {
            "remedy": self.candidate,
            "alpha": self.alpha,
            "kept": self.kept.to_dict(),
            "validation_loss": self.loss,
            "gain": self.gain,
        }
        return where if self.suites is None else {**where, "suites": dict(self.suites)}


def train_with_retention(
    task: TrainingTask, plan: TrainConfig, how: RetentionMethod, tokenizer: Any, general: Callable[[], RetentionData]
) -> tuple[RecipeTrainer, dict[str, Any]]:
    """Train, with the remedy asked for or the first that is enough; the trainer holds the chosen weights. And what was seen of it.

    general: what shows forgetting. Without a remedy that is measured only where the run was given something to measure it by.
    """
    if how == "none":
        return _train_without_remedy(task, plan, tokenizer)
    return _MitigationSearch(task, plan, how, tokenizer, general()).run()


def _train_without_remedy(task: TrainingTask, plan: TrainConfig, tokenizer: Any) -> tuple[RecipeTrainer, dict[str, Any]]:
    """Train; forgetting is measured by what the run was given for that."""
    general = task.run.general
    if general is None or not (general.texts or general.suites):
        return train_model(task, plan, tokenizer), {}
    if general.texts:
        return _MitigationSearch(task, plan, "none", tokenizer, general).run()
    knowledge = BaselineCapabilities(task, tokenizer, general)
    trainer = train_model(task, plan, tokenizer)
    about = {"asked": "none", "remedy": "none", "alpha": 1.0, "suites": knowledge.suite_changes(trainer.model)}
    return trainer, {"retention": {**about, "summary": retention_summary_lines(about)}}


class _MitigationSearch:
    """One run's search among remedies; each training has a folder of its own, and none is repeated after a kill."""

    def __init__(self, task: TrainingTask, plan: TrainConfig, how: RetentionMethod, tokenizer: Any, general: RetentionData) -> None:
        self.method, self.tokenizer, self.plan = how, tokenizer, plan
        self.baseline = BaselineCapabilities(task, tokenizer, general)
        self.task = replace(task, objective=self.baseline.objective.with_kl_monitor(task.create_model(), task.validation))
        self.scores: list[CandidateScore] = []
        self.skipped: dict[str, str] = {}

    def run(self) -> tuple[RecipeTrainer, dict[str, Any]]:
        """Rung by rung until one is enough; where none is, back to the one that comes nearest."""
        rungs = {rung.name: rung for rung in self._candidates()}
        for rung in rungs.values():
            try:
                trainer, way = self._train_candidate(rung)
            except UserError as error:
                if self.method != "auto" or rung.name == "none":
                    raise
                self.skipped[rung.name] = error.message
                continue
            enough = next((point for point in self.scores if point.candidate == rung.name and point.meets_all), None)
            if enough is not None and self.method != "recursive":  # whose first round is no remedy yet
                return trainer, {"retention": self._select_point(trainer, way, enough)}
            del trainer, way
            gc.collect()  # the next training's weights come into memory
        best = select_nearest(self.scores)
        trainer, way = self._train_candidate(rungs[best.candidate])
        return trainer, {"retention": self._select_point(trainer, way, best)}

    def _candidates(self) -> Iterator[RetentionCandidate]:
        plain = RetentionCandidate("none", lambda: (self.task, self.plan), ALPHAS if self.method in ("auto", "alpha") else (1.0,))
        if self.method in ("none", "alpha"):
            yield plain
        elif self.method == "auto":
            yield plain
            yield from (self._remedy(name, ALPHAS) for name in self.baseline.objective.remedies)
        elif self.method == "recursive":
            yield plain
            yield from (RetentionCandidate(f"round {number}", self._round(number), (1.0,)) for number in range(2, RECURSIVE_ROUNDS + 1))
        else:
            yield self._remedy(self.method, (1.0,))

    def _remedy(self, name: str, alphas: Sequence[float]) -> RetentionCandidate:
        return RetentionCandidate(name, lambda: REMEDIES[name](self._with_own_folder(name), self.plan, self.baseline), alphas)

    def _round(self, number: int) -> Callable[[], tuple[TrainingTask, TrainConfig]]:
        """A training of the base on people's answers that also follows the round before (Furlanello et al. 2018)."""

        def make() -> tuple[TrainingTask, TrainConfig]:
            made = (self.task, self.plan) if number == 2 else self._round(number - 1)()
            teacher = train_model(*made, self.tokenizer).model
            task = self._with_own_folder(f"round {number}")
            return replace(task, train=self.baseline.objective.with_teacher(teacher, self.task.train, TEACHER_SHARE)), self.plan

        return make

    def _with_own_folder(self, name: str) -> TrainingTask:
        """The task with a folder for another training of it."""
        folder = self.task.run.folder / FOLDER / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        return replace(self.task, run=replace(self.task.run, folder=folder))

    def _train_candidate(self, rung: RetentionCandidate) -> tuple[RecipeTrainer, WeightInterpolation]:
        """Train a rung's model (or take it up, if it was trained before the process ended), and look along its way."""
        trainer = train_model(*rung.make(), self.tokenizer)
        way = WeightInterpolation(trainer.model, self.task.create_model() if trainer.model is unwrap_model(trainer.model) else None)
        if not any(point.candidate == rung.name for point in self.scores):
            path = trainer.checkpoints.parent / "standing.json"
            self.scores += [_load_score(rung.name, each) for each in cached_json(path, partial(self._score_path, rung, trainer.model, way))]
        return trainer, way

    def _score_path(self, rung: RetentionCandidate, model: Any, way: WeightInterpolation) -> list[dict[str, Any]]:
        found: list[CandidateScore] = []
        for number, alpha in enumerate(rung.alphas):
            self.task.run.progress(TrainingProgress(f"what is left of the base's knowledge (remedy {rung.name})", number, len(rung.alphas)))
            way.move_to(alpha)
            trained = next((point.loss for point in self.scores or found), None)
            standing = self.baseline.score(model, trained)
            point = CandidateScore(rung.name, alpha, standing.kept, standing.loss, standing.gain)
            found.append(replace(point, suites=self.baseline.suite_changes(model)) if point.meets_all else point)
            if self.method == "auto" and (found[-1].meets_all or found[-1].gain < MIN_GAIN):
                break  # further back there is only less of the task
        return [point.to_dict() for point in found]

    def _select_point(self, trainer: RecipeTrainer, way: WeightInterpolation, best: CandidateScore) -> dict[str, Any]:
        """Put the model where the point is; what the manifest says of it."""
        way.move_to(best.alpha)
        if best.suites is None:
            best = replace(best, suites=self.baseline.suite_changes(trainer.model))
        about = {
            "asked": self.method, "remedy": best.candidate, "alpha": best.alpha, "kept": best.kept.to_dict(), "gain": best.gain,
            "met": best.meets_all,
            "bounds": {"kept": MIN_KEPT, "gain": MIN_GAIN, "accuracy_lost": MAX_ACCURACY_DROP},
            "texts": len(self.baseline.base_log_probabilities),
            "origin": self.baseline.general.origin, "suites": best.suites,
            "points": [point.to_dict() for point in self.scores], "skipped": self.skipped,
        }  # fmt: skip
        return {**about, "summary": retention_summary_lines(about)}


def retention_summary_lines(about: Mapping[str, Any]) -> list[str]:
    """What became of the base's knowledge, in sentences."""
    found = []
    if "kept" in about:
        kept = Estimate.from_dict(about["kept"])
        found.append(f"Of the base's log-probability on {about['texts']} {about['origin']} {kept.format_percent()} is left.")
    if about["asked"] != "none":
        remedy = "the model as trained" if about["remedy"] == "none" else f"the remedy {about['remedy']}"
        back = "" if about["alpha"] == 1 else f", {about['alpha']:g} of the way from the base"
        found.append(f"Retention {about['asked']} chose {remedy}{back}, with {about['gain']:.1%} of the task's gain on validation.")
    if about["asked"] == "auto" and not about["met"]:
        bounds = about["bounds"]
        bound = (
            f"kept {bounds['kept']:.0%}, with {bounds['gain']:.0%} of the gain and at most {100 * bounds['accuracy_lost']:.0f} points lost"
        )
        found.append(f"No remedy {bound} on each suite that counts; this one comes nearest.")
    for name, suite in about["suites"].items():
        change = Estimate.from_dict(suite["change"])
        found.append(
            f"Accuracy on {name} changed by {change.format_points()}"
            + ("." if suite["counts"] else "; it doesn't count, for the base hardly does better than guessing there.")
        )
    return found


def _load_score(rung: str, kept: Mapping[str, Any]) -> CandidateScore:
    return CandidateScore(rung, kept["alpha"], Estimate.from_dict(kept["kept"]), kept["validation_loss"], kept["gain"], kept.get("suites"))


def select_nearest(points: Sequence[CandidateScore]) -> CandidateScore:
    """Where none meets both bounds: the most of the task among those that keep enough, else what keeps most."""
    keeping = [point for point in points if point.meets_retention]
    return max(keeping, key=lambda point: point.gain) if keeping else max(points, key=lambda point: point.kept.value)
