"""Fine-tune a classifier on human labels and, where validation supports it, on its own pseudo-labels.

In each round a teacher labels texts that nobody has judged, and a student that starts from the base learns them; it is kept if validation
supports it. The first teacher is the model of people's labels alone, or an earlier model that was named, unless that is worse on
validation; each student that is kept teaches the next. Predictions, and people's answers, are kept in the run's folder as they come, so
that a run resumes where it stopped.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from preceptor.errors import UserError
from preceptor.models.adapters import AdapterKind, refuse_quantized
from preceptor.models.atomic_folder import weights_digest
from preceptor.models.batching import encode_texts
from preceptor.models.classifier import class_probabilities
from preceptor.models.loading import check_encoder, check_model_folder, load_tokenizer
from preceptor.registry import OptionsBase
from preceptor.statistics import apply_temperature, fit_temperature
from preceptor.training.callbacks import LOG_FILE
from preceptor.training.classification import preview_texts
from preceptor.training.examples import TrainingExamples, build_label_examples, read_rows, resolve_max_tokens
from preceptor.training.forgetting import RetentionWithoutTexts, encoder_general_data
from preceptor.training.hyperparameters import resolve_hyperparameters
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.noisy_student import (
    PREDICTIONS_FILE,
    FineTunedLearner,
    LinearProbeLearner,
    NoisyStudentObjective,
    PseudoLabels,
    RoundScore,
    StudentLearner,
    cached_arrays,
    compare_round_scores,
    estimate_pseudo_label_accuracy,
    pseudo_label_weight,
    select_label_queries,
    select_pseudo_labels,
)
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.recipe import FeedbackPending, FeedbackRequest, TrainingProgress, TrainingRow, TrainingRun, UnlabelledItem, recipes
from preceptor.training.run_folder import cached_json, run_recipe
from preceptor.types import Estimate, FloatArray, Model

_ADD_HINT = "add texts that nobody has judged: preceptor import items FILE"


def read_unlabelled_texts(run: TrainingRun, rows: Sequence[TrainingRow]) -> list[UnlabelledItem]:
    """Return the run's texts without a judgment, each once, none of them the text of one of `rows`.

    Raises UserError where there are none.
    """
    if run.unlabelled is None:
        raise UserError("self_training needs unlabelled texts, and this run has no project to get them from", "Project.train(…)")
    known, found = {row.text for row in rows}, list[UnlabelledItem]()
    for each in run.unlabelled():
        if each.text not in known:
            known.add(each.text)
            found.append(each)
    if not found:
        raise UserError(
            "there is nothing to self-train on: each item of the project is judged already, or (nearly) the same as a row of the "
            "snapshot, or in a group with a validation or test row",
            _ADD_HINT,
        )
    return found


def build_text_examples(texts: Sequence[UnlabelledItem], tokenizer: Any, max_tokens: int, answers: int) -> TrainingExamples:
    """Return the texts as rows whose targets, (texts, answers), are still to be filled in."""
    count = len(texts)
    return TrainingExamples(
        encode_texts(tokenizer, [each.text for each in texts], max_tokens),
        np.zeros((count, answers)),
        np.ones(count),
        np.ones(count, dtype=np.int64),
        [each.id for each in texts],
        [each.group for each in texts],
    )


def self_training_summary_lines(
    texts: int, rounds: Sequence[Mapping[str, Any]], kept: int | None, earlier: Mapping[str, Any] | None = None
) -> list[str]:
    """Return one or two sentences a round, and one on where the weights are from.

    kept: the round that they are from, or None. earlier: how the teacher that was named compares with people's labels alone, if one was.
    """
    found = [f"{texts:,} texts without a judgment were read."]
    if earlier:
        loss = Estimate.from_dict(earlier["loss"])
        found.append(
            f"Beside people's labels alone, the validation loss of the teacher that was named is {loss.value:+.3f} [{loss.low:+.3f}, "
            f"{loss.high:+.3f}] nats" + (": it taught nothing, and no round was held." if earlier["hurts"] else ".")
        )
    for each in rounds:
        found += _round_lines(each)
    held = sum("validation_change" in each and not each["hurts"] for each in rounds)
    if kept is None:
        return [*found, "No round helped: the weights are those of people's labels alone."]
    best = f", the best of {held} on the validation rows, which flatters what is told of it above" if held > 1 else ""
    return [*found, f"The weights are those of round {kept}{best}."]


def _round_lines(told: Mapping[str, Any]) -> list[str]:
    number, count = told["round"], sum(told["pseudo_labels"].values())
    if not count:
        others = " that people hadn't answered" if told.get("answered") else ""
        return [f"Round {number}: the teacher, calibrated on validation, was sure of no text{others}."]
    split = ", ".join(f"{of:,} {answer}" for answer, of in told["pseudo_labels"].items())
    found = [f"Round {number} took {count:,} pseudo-labels of confidence {told['confidence']:.2f} or more ({split})."]
    if told.get("right"):
        right = Estimate.from_dict(told["right"])
        found.append(f"By people's answers {right.value:.0%} [{right.low:.0%}, {right.high:.0%}] of them are right.")
    loss, accuracy = (Estimate.from_dict(told["validation_change"][name]) for name in ("loss", "accuracy"))
    found.append(
        f"Against people's labels alone it changed the validation loss by {loss.value:+.3f} [{loss.low:+.3f}, {loss.high:+.3f}] and "
        f"accuracy by {accuracy.format_points()}" + (": it isn't kept, and nothing more was tried." if told["hurts"] else ".")
    )
    return found


ROUNDS_FOLDER = "rounds"
MIN_ANSWERED_SHARE = 0.9  # of a round's requests, before it continues
MIN_PROBABILITY = 1e-12


@dataclass(frozen=True)
class SelfTrainingSettings:
    """The settings of the rounds, see the options of `self_training`.

    rounds: at most. confidence: from which a prediction becomes a pseudo-label. pseudo_label_weight: of all pseudo-labels relative to
    people's rows, at most. token_mask_rate: share of tokens that the student doesn't see. queries_per_round: texts that people label.
    teacher: the folder of an earlier classifier, or None.
    """

    rounds: int
    confidence: float
    pseudo_label_weight: float
    token_mask_rate: float
    queries_per_round: int
    teacher: Path | None = None


@dataclass(frozen=True, eq=False)
class TeacherPredictions:
    """A model's log-probabilities of the validation rows (rows, answers) and of the texts (texts, answers)."""

    validation: FloatArray
    texts: FloatArray


@dataclass(frozen=True, eq=False)
class RoundModel:
    """A trained model: the name of the folder that holds its weights, its predictions, and its validation score."""

    name: str
    predictions: TeacherPredictions
    score: RoundScore


@dataclass
class SelfTrainingRounds:
    """Run the rounds of one training run.

    task: people's rows. learner: how a model is trained. unlabelled: items that nobody has judged; texts: the same as tokens, with targets
    that mean nothing. round_stats: what each round saw and did. answers: what people answered in the rounds, by number of the text. tasks:
    the trainings so far, by name. kept_round: the round whose student is the final model; None where that is the model of people's labels
    alone. teacher_comparison: how the model that was named compares with people's labels, see `_teacher_is_worse`.
    """

    task: TrainingTask
    learner: StudentLearner
    unlabelled: Sequence[UnlabelledItem]
    texts: TrainingExamples
    settings: SelfTrainingSettings
    round_stats: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[int, Mapping[str, float]] = field(default_factory=dict)
    tasks: dict[str, TrainingTask] = field(default_factory=dict)
    kept_round: int | None = None
    teacher_comparison: dict[str, Any] | None = None

    def run(self) -> TrainingTask:
        """Go through the rounds, and return the task whose training made the model that is kept, in the folder of its weights."""
        supervised, best, earlier = self._supervised(), None, self._named_teacher()
        if earlier and self._teacher_is_worse(earlier, supervised.predictions):
            return self.tasks[supervised.name]
        teacher = earlier or supervised.predictions
        for number in range(1, self.settings.rounds + 1):
            probabilities, temperature = self._calibrated(teacher)
            asked = self._query_labels(number, probabilities)
            supervised = self._supervised() if asked else supervised
            pseudo = self._select_pseudo_labels(probabilities)
            about = {"round": number, "temperature": temperature, **self._pseudo_label_stats(pseudo), **asked}
            if not len(pseudo.texts):
                self.round_stats.append({**about, "hurts": False})
                break
            student = self._student(number, pseudo)
            verdict = compare_round_scores(student.score, supervised.score, self.task.validation.groups)
            change = {"loss": verdict.loss.to_dict(), "accuracy": verdict.accuracy.to_dict()}
            self.round_stats.append({**about, "validation_change": change, "hurts": verdict.hurts})
            if verdict.hurts:
                break
            best, teacher = self._select_better(best, student), student.predictions
        return self.tasks[self._select_final(best, supervised).name]

    def _select_better(self, best: RoundModel | None, student: RoundModel) -> RoundModel:
        """Return the round with the lower validation loss; the other's weights are deleted, its predictions stay."""
        kept, gone = (best, student) if best and best.score.loss <= student.score.loss else (student, best)
        if gone:
            shutil.rmtree(self._subrun(gone.name).folder / "checkpoints", ignore_errors=True)
        return kept

    def _select_final(self, best: RoundModel | None, supervised: RoundModel) -> RoundModel:
        """Return the best round, unless the model of people's labels alone, which may be more by now, is better."""
        if best is None or compare_round_scores(best.score, supervised.score, self.task.validation.groups).hurts:
            return supervised
        self.kept_round = int(best.name.rsplit("-", 1)[1])
        return best

    def _supervised(self) -> RoundModel:
        """Return the model of people's labels alone, including those of earlier rounds, with which a round is compared."""
        name = f"supervised-{len(self.answers)}" if self.answers else "supervised"
        return self._train_round_model(name, self._labelled_rows(), replace(self._objective, token_mask_rate=0.0))

    def _student(self, number: int, pseudo: PseudoLabels) -> RoundModel:
        """Train a student from the base on people's labels and the teacher's, with more noise than the teacher."""
        rows = self._labelled_rows()
        weight = pseudo_label_weight(len(pseudo.texts), float(rows.loss_weights.sum()), self.settings.pseudo_label_weight)
        taught = self._examples(pseudo.texts.tolist(), pseudo.targets, weight)
        return self._train_round_model(
            f"round-{number}", rows.concatenate(taught), replace(self._objective, token_mask_rate=self.settings.token_mask_rate)
        )

    def _train_round_model(self, name: str, rows: TrainingExamples, objective: NoisyStudentObjective) -> RoundModel:
        """Train a model (or restore it, if it was trained before the process ended), and read its predictions."""
        self.tasks[name] = task = replace(self.task, run=self._subrun(name), train=rows, objective=objective)
        kept = cached_arrays(task.run.folder / PREDICTIONS_FILE, lambda: self.learner.fit_and_predict(task, self.texts))
        return RoundModel(name, TeacherPredictions(kept["validation"], kept["texts"]), RoundScore(kept["losses"], kept["right"]))

    def _named_teacher(self) -> TeacherPredictions | None:
        """Return the predictions of the teacher that was named, if one was."""
        if self.settings.teacher is None:
            return None
        teacher, rows = self.settings.teacher, list(self.task.run.snapshot.rows("validation"))

        def look() -> dict[str, FloatArray]:
            validation, texts = (class_probabilities(teacher, [each.text for each in some]) for some in (rows, self.unlabelled))
            return {"validation": np.log(np.maximum(validation, MIN_PROBABILITY)), "texts": np.log(np.maximum(texts, MIN_PROBABILITY))}

        kept = cached_arrays(self._subrun("teacher").folder / PREDICTIONS_FILE, look)
        return TeacherPredictions(kept["validation"], kept["texts"])

    def _teacher_is_worse(self, earlier: TeacherPredictions, alone: TeacherPredictions) -> bool:
        """Return whether the model that was named is worse on validation than people's labels alone, both calibrated there.

        It would then teach labels that are wrong more often than what is known; comparing its students with people's labels shows that only
        in part.
        """
        rows = self.task.validation
        verdict = compare_round_scores(
            _score_predictions(earlier.validation, rows), _score_predictions(alone.validation, rows), rows.groups
        )
        self.teacher_comparison = {"loss": verdict.loss.to_dict(), "accuracy": verdict.accuracy.to_dict(), "hurts": verdict.hurts}
        return verdict.hurts

    def _calibrated(self, teacher: TeacherPredictions) -> tuple[FloatArray, float]:
        """Return the probabilities of the texts (texts, answers) at the temperature that fits validation best, and that temperature."""
        temperature = fit_temperature(teacher.validation, self.task.validation.targets)
        return apply_temperature(teacher.texts, temperature), temperature

    def _select_pseudo_labels(self, probabilities: FloatArray) -> PseudoLabels:
        return select_pseudo_labels(probabilities, confidence=self.settings.confidence, fewest=len(self.task.train), known=self.answers)

    def _pseudo_label_stats(self, pseudo: PseudoLabels) -> dict[str, Any]:
        """Return the statistics of the pseudo-labels."""
        answers = self.task.run.snapshot.answers
        weight = pseudo_label_weight(len(pseudo.texts), float(self._labelled_rows().loss_weights.sum()), self.settings.pseudo_label_weight)
        return {
            "pseudo_labels": dict(zip(answers, pseudo.counts, strict=True)),
            "estimated_shares": dict(zip(answers, pseudo.prior.round(4).tolist(), strict=True)),
            "confidence": pseudo.confidence,
            "weight": weight,
        }

    def _query_labels(self, number: int, probabilities: FloatArray) -> dict[str, Any]:
        """Have people label the most uncertain texts and some pseudo-labels, and return the result of that audit.

        Raises FeedbackPending where too few have been answered.
        """
        if not self.settings.queries_per_round:
            return {}
        folder, pseudo = self._subrun(f"round-{number}").folder, self._select_pseudo_labels(probabilities)
        known, seed = list(self.answers), self._seed(number)
        picked = cached_json(
            folder / "asked.json", lambda: vars(select_label_queries(probabilities, pseudo, self.settings.queries_per_round, seed, known))
        )
        said = {
            int(text): each for text, each in cached_json(folder / "answers.json", partial(self._collect_labels, number, picked)).items()
        }
        self.answers |= said
        audited = {text: said[text] for text in picked["audited"] if text in said}
        right = estimate_pseudo_label_accuracy(pseudo, audited, self.task.run.snapshot.answers)
        return {"asked": sum(map(len, picked.values())), "answered": len(said), "right": right.to_dict() if right else None}

    def _collect_labels(self, number: int, picked: Mapping[str, list[int]]) -> dict[str, Any]:
        ask = self.task.run.ask
        assert ask is not None
        order = [*picked["doubtful"], *picked["audited"]]
        known = {text: self.unlabelled[text] for text in order}
        said = ask("label", [FeedbackRequest(each.id, each.content, -float(place)) for place, each in enumerate(known.values())])
        there = [text for text in order if known[text].id in said]
        if len(there) < math.ceil(MIN_ANSWERED_SHARE * len(order)):
            raise FeedbackPending(
                f"{len(order) - len(there):,} of {len(order):,} texts of round {number} wait for people's labels",
                "when they are there, the same command goes on from here",
            )
        return {str(text): dict(said[known[text].id]) for text in there}  # type: ignore[arg-type]

    def _labelled_rows(self) -> TrainingExamples:
        """Return people's rows, and their answers of earlier rounds."""
        if not self.answers:
            return self.task.train
        names = self.task.run.snapshot.answers
        targets = np.array([[each.get(name, 0.0) for name in names] for each in self.answers.values()])
        return self.task.train.concatenate(self._examples(list(self.answers), targets, 1.0))

    def _examples(self, texts: Sequence[int], targets: FloatArray, weight: float) -> TrainingExamples:
        return replace(self.texts.select(texts), targets=targets, weights=np.full(len(texts), weight))

    @property
    def _objective(self) -> NoisyStudentObjective:
        return self.task.objective  # type: ignore[return-value]

    def _subrun(self, name: str) -> TrainingRun:
        """Return the run in a folder of its own, with the name in its progress."""
        run, stage = self.task.run, name.replace("-", " ")
        folder = run.folder / ROUNDS_FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        tell: Callable[[TrainingProgress], None] = run.progress
        return replace(run, folder=folder, progress=lambda progress: tell(replace(progress, stage=f"{stage}: {progress.stage}")))

    def _seed(self, number: int) -> int:
        return self.task.run.seed * 1000 + number


def _score_predictions(said: FloatArray, rows: TrainingExamples) -> RoundScore:
    """Return the score of log-probabilities (rows, answers) on the rows, at the temperature that fits them best."""
    targets = np.asarray(rows.targets)
    calibrated = np.log(np.maximum(apply_temperature(said, fit_temperature(said, targets)), MIN_PROBABILITY))
    right = (said.argmax(axis=1) == targets.argmax(axis=1)).astype(np.float64)
    return RoundScore(-rows.weights * (targets * calibrated).sum(axis=1), right)


WEIGHT_DECAY, MIN_STEPS, BATCH_SIZE, PATIENCE, EVALUATIONS = 0.01, 100, 32, 3, 2  # those of `classify`


class SelfTrainingOptions(OptionsBase):
    """Options of the recipe `self_training`; the defaults suit a small encoder, some hundred labels and some thousand texts."""

    rounds: int = Field(3, ge=1, le=5, description="rounds at most; the first that hurts is the last")
    confidence: float = Field(
        0.75, ge=0, le=1, description="calibrated probability from which a teacher's prediction becomes a pseudo-label"
    )
    pseudo_label_weight: float = Field(1.0, gt=0, le=10, description="maximum total weight of the pseudo-labels, relative to people's rows")
    token_mask_rate: float = Field(0.1, ge=0, lt=1, description="probability that a token of the student's input is masked")
    teacher: str | None = Field(None, description="an earlier classifier as the first teacher; none: one trained on people's labels")
    queries_per_round: int = Field(
        0, ge=0, description="texts that people label per round: half audit pseudo-labels, half are the least certain"
    )
    adapter: AdapterKind | Literal["head"] = Field(
        "none", description="none: all weights; lora, dora, lora-top: a low-rank adapter and the head; head: the encoder is frozen"
    )
    epochs: float = Field(3.0, gt=0, description="maximum passes over the rows in each training")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    max_tokens: int = Field(128, ge=4, description="longer texts are truncated")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionWithoutTexts = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@recipes.register("self_training", options=SelfTrainingOptions)
def train_self_training(run: TrainingRun, options: SelfTrainingOptions) -> Model:
    """Train by noisy-student self-training (Xie et al. 2020) with a guard, see `SelfTrainingRounds`.

    Supports: what `classify` supports, except several labels at once; people who label the most uncertain texts; an earlier model as the
    first teacher.

    Raises FeedbackPending, a UserError, where a round's labels aren't there yet; the same run resumes from there. Refuses: no texts without
    a judgment, asking where nobody can be asked, a teacher of other answers, and what `classify` refuses.
    """
    _check_base(run, options)
    rows = _read_splits(run)
    teacher = run.folder_of(options.teacher) if options.teacher else None
    if teacher is not None:
        _check_teacher(teacher, run.snapshot.answers)
    if options.queries_per_round and run.ask is None:
        raise UserError(
            f"queries_per_round={options.queries_per_round} needs people who label, and nobody can be asked",
            "preceptor train self_training --human-feedback …",
        )
    texts = read_unlabelled_texts(run, [*rows["train"], *rows["validation"]])

    def train() -> Model:
        task, tokenizer = _build_task(run, options, rows)
        read = build_text_examples(texts, tokenizer, task.max_tokens, len(run.snapshot.answers))
        learner, measured = _build_learner(task, tokenizer, read, options)
        wish = SelfTrainingSettings(
            options.rounds, options.confidence, options.pseudo_label_weight, options.token_mask_rate, options.queries_per_round, teacher
        )
        rounds = SelfTrainingRounds(task, learner, texts, read, wish)
        kept = rounds.run()
        trained, more = learner.finalize(kept)
        if (log := kept.run.folder / LOG_FILE).exists():
            shutil.copyfile(log, run.folder / LOG_FILE)
        about = {"texts": len(texts), "rounds": rounds.round_stats, "kept": rounds.kept_round, "people_answered": len(rounds.answers)}
        about |= {"teacher": rounds.teacher_comparison} if rounds.teacher_comparison else {}
        told = tuple(self_training_summary_lines(len(texts), rounds.round_stats, rounds.kept_round, rounds.teacher_comparison))
        done = replace(task, objective=replace(kept.objective, summary=told))  # type: ignore[type-var]
        model = save_trained_model(
            done, trained, tokenizer, measured={**measured, **more, "self_training": about}, options=options.model_dump()
        )
        shutil.rmtree(run.folder / ROUNDS_FOLDER, ignore_errors=True)  # several times the size of the model
        return model

    return run_recipe(run, "self_training", options, train, teacher=weights_digest(teacher) if teacher else "")


def preview_self_training(run: TrainingRun, options: SelfTrainingOptions) -> dict[str, Any]:
    """Return what people's rows are, see `preview_texts`, and how many texts without a judgment there are; nothing is trained or asked."""
    _check_base(run, options)
    rows = _read_splits(run)
    tokenizer = load_tokenizer(run.base)
    shown = preview_texts(rows, tokenizer, resolve_max_tokens(run, tokenizer, options))
    if run.unlabelled is None:
        return shown
    return {**shown, "unlabelled": len(read_unlabelled_texts(run, [*rows["train"], *rows["validation"]]))}


train_self_training.preview = preview_self_training


def _check_base(run: TrainingRun, options: SelfTrainingOptions) -> None:
    check_model_folder(run.base)
    refuse_quantized(run.base)
    if options.adapter == "head":
        check_encoder(run.base, "self_training with adapter=head")


def _read_splits(run: TrainingRun) -> dict[str, list[TrainingRow]]:
    return {"train": read_rows(run, "train"), "validation": read_rows(run, "validation")}


def _build_task(run: TrainingRun, options: SelfTrainingOptions, rows: dict[str, list[TrainingRow]]) -> tuple[TrainingTask, Any]:
    """Return people's rows as tokens, and the tokenizer, which truncates in serving where training did."""
    tokenizer = load_tokenizer(run.base)
    tokenizer.model_max_length = limit = resolve_max_tokens(run, tokenizer, options)
    prepare = partial(build_label_examples, answers=run.snapshot.answers, tokenizer=tokenizer, max_tokens=limit, hard=False)
    adapter: AdapterKind = "none" if options.adapter == "head" else options.adapter
    objective = NoisyStudentObjective(run.base, run.snapshot.answers, tokenizer, adapter, run.snapshot.target_kind)
    return TrainingTask(run, limit, objective, prepare(rows["train"]), prepare(rows["validation"])), tokenizer


def _build_learner(
    task: TrainingTask, tokenizer: Any, texts: TrainingExamples, options: SelfTrainingOptions
) -> tuple[StudentLearner, dict[str, Any]]:
    """Return how this run learns, and what was measured to resolve that."""
    plan = TrainConfig(options.epochs, MIN_STEPS, BATCH_SIZE, WEIGHT_DECAY, PATIENCE, EVALUATIONS, task.run.seed)
    if options.adapter == "head":
        return LinearProbeLearner(
            replace(plan, learning_rate=0.0), task.run.folder / ROUNDS_FOLDER, task, (task.train, task.validation, texts)
        ), {}
    plan, measured = resolve_hyperparameters(task, plan, options.dtype, options.learning_rate)
    return FineTunedLearner(plan, tokenizer, options.retention, partial(encoder_general_data, task.run)), measured


def _check_teacher(folder: Any, answers: tuple[str, ...]) -> None:
    """Raise UserError for a teacher that isn't a classifier of these answers, in this order."""
    from transformers import AutoConfig

    check_model_folder(folder)
    labels = AutoConfig.from_pretrained(folder, local_files_only=True).id2label
    said = tuple(labels[number] for number in sorted(labels))
    if said != answers:
        raise UserError(
            f"the teacher answers {', '.join(said[:5])}, and the snapshot's answers are {', '.join(answers[:5])}",
            "a model that was trained on this question, or none: people's labels make one",
        )
