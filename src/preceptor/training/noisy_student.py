"""Select pseudo-labels, train noisy students on them, and compare each with the supervised model (Xie et al., 2020).

Pseudo-labels are a teacher's confident predictions, in the classes' own proportions. In each round people may be asked about a random
sample of them, which estimates how many are right, and about the most uncertain texts. Each round is compared on validation with the model
of people's labels alone, and discarded where it hurts. A student is trained with tokens masked out, besides dropout.

A `StudentLearner` either tunes all weights or fits a head to the frozen base. Both return the same predictions of a training:
log-probabilities `validation` (rows, answers) and `texts` (texts, answers), and for each validation row its contribution to the loss
(`losses`, nats) and whether the first choice is `right` (0 or 1).
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from scipy.special import log_softmax

from preceptor.formats.durable_files import atomic_write
from preceptor.models.batching import TokenIds
from preceptor.models.classifier import predict_log_probabilities
from preceptor.models.embeddings import mean_token_vectors
from preceptor.statistics import compare_paired, ppi_mean
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import TrainingExamples
from preceptor.training.forgetting import RetentionWithoutTexts, train_with_retention
from preceptor.training.linear_probe import build_fitted_model, set_head
from preceptor.training.logistic_regression import LogisticData, LogisticHead, select_logistic_head
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.recipe import TrainingProgress
from preceptor.training.trainer import train_model
from preceptor.types import Estimate, FloatArray, IntArray, RetentionData


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Pseudo-labels that were selected from a teacher's predictions.

    texts: numbers of the selected texts, (m,). targets: what the student learns of each, (m, answers): the teacher's prediction, sharpened.
    certainty: the calibrated probability of each one's first choice, (m,). confidence: the lower bound that was applied; below the
    requested one where only few texts reached that. prior: the share of each answer among all texts as the teacher estimates it,
    (answers,).
    """

    texts: IntArray
    targets: FloatArray
    certainty: FloatArray
    confidence: float
    prior: FloatArray

    @property
    def counts(self) -> list[int]:
        """Number of selected texts for each answer."""
        return [int(count) for count in np.bincount(self.targets.argmax(axis=1), minlength=self.targets.shape[1])]


def select_pseudo_labels(probabilities: FloatArray, *, confidence: float, fewest: int, known: Collection[int] = ()) -> PseudoLabels:
    """Select pseudo-labels from calibrated probabilities (texts, answers).

    known: texts that people have answered by now, which need none.

    A text can be selected when its most probable answer has at least `confidence`; where fewer than `fewest` texts have, the bound goes
    down to the confidence of the `fewest`-th, but never below a half, where another answer may be as likely. Of each answer at most its
    estimated share is selected, the most confident first: else the answer that the teacher favours grows from round to round (Xie et al.
    2020, "Self-training with Noisy Student", balance classes for the same reason). The share is the mean probability, which calibration
    makes an estimate of how often the answer is true, where the count of first choices exaggerates.
    """
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    sure[list(known)] = -1.0  # below any confidence
    ranked = np.sort(sure)[::-1]
    limit = min(confidence, max(float(ranked[min(fewest, len(ranked)) - 1]), 0.5))
    able = sure >= limit
    prior = probabilities.mean(axis=0)
    taken: list[int] = []
    for answer in range(probabilities.shape[1]):
        mine = np.flatnonzero(able & (said == answer))
        most = math.ceil(float(prior[answer]) * int(able.sum()))
        taken += mine[np.argsort(-sure[mine], kind="stable")][:most].tolist()
    texts = np.array(sorted(taken), dtype=np.int64)
    return PseudoLabels(texts, sharpen_probabilities(probabilities[texts]), sure[texts], limit, prior)


def sharpen_probabilities(probabilities: FloatArray) -> FloatArray:
    """Return p² normalised (Berthelot et al. 2019, "MixMatch": temperature 1/2), (…, answers).

    A teacher's unchanged predictions teach its student nothing that it wouldn't predict itself; harder targets move the boundary to where
    few texts lie, and uncertain ones stay softer than certain ones. Hard targets gave a worse log loss (docs/benchmarks.md).
    """
    raised = probabilities**2
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def pseudo_label_weight(pseudo: int, people: float, share: float) -> float:
    """Return the weight of a pseudo-label such that all of them weigh at most `share` times what people's rows do; 1 at most."""
    return min(1.0, share * people / pseudo) if pseudo else 0.0


MIN_AUDITED_TEXTS = 5  # fewer give no estimate


@dataclass(frozen=True)
class LabelQueries:
    """Numbers of the texts that people are asked about.

    audited: sampled at random among those with a pseudo-label. doubtful: the most uncertain ones.
    """

    audited: tuple[int, ...]
    doubtful: tuple[int, ...]


def select_label_queries(
    probabilities: FloatArray, pseudo: PseudoLabels, budget: int, seed: int, known: Collection[int] = ()
) -> LabelQueries:
    """Select texts to ask people about: half of the budget for the audit, half for those whose two most probable answers are closest.

    probabilities: calibrated, (texts, answers). known: texts that people have answered by now, which are not asked about again.
    """
    random = np.random.default_rng(seed)
    audited = random.permutation(pseudo.texts)[: budget // 2].tolist()
    first_two = np.sort(probabilities, axis=1)[:, -2:]
    margin = first_two[:, 1] - first_two[:, 0]
    margin[[*audited, *known]] = np.inf
    doubtful = np.argsort(margin, kind="stable")[: budget - len(audited)].tolist()
    return LabelQueries(tuple(audited), tuple(each for each in doubtful if np.isfinite(margin[each])))


def estimate_pseudo_label_accuracy(
    pseudo: PseudoLabels, said: Mapping[int, Mapping[str, float]], answers: Sequence[str]
) -> Estimate | None:
    """Estimate the share of right pseudo-labels, from people's answers on the audited texts and the certainty of all (`ppi_mean`).

    said: text number -> people's distribution, of audited texts only. None where they are too few.
    """
    if len(said) < MIN_AUDITED_TEXTS:
        return None
    place = {int(text): row for row, text in enumerate(pseudo.texts)}
    seen = [place[text] for text in said]
    first = pseudo.targets.argmax(axis=1)
    human = [said[text].get(answers[first[place[text]]], 0.0) for text in said]
    return ppi_mean(human, pseudo.certainty[seen], np.delete(pseudo.certainty, seen))


@dataclass(frozen=True, eq=False)
class RoundScore:
    """A model's result on the validation rows.

    losses: contribution of each row to the loss in nats, (rows,). correct: whether its first choice is right, (rows,).
    """

    losses: FloatArray
    correct: FloatArray

    @property
    def loss(self) -> float:
        """The mean over the rows."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class RoundComparison:
    """A round compared with the model of people's labels alone.

    loss: paired difference in nats, below 0 where the round is better. accuracy: paired difference, above 0 where the round is better.
    """

    loss: Estimate
    accuracy: Estimate

    @property
    def hurts(self) -> bool:
        """Whether its validation loss is higher by more than about a standard error, half of the interval's half-width.

        Where rows of one group only can't bound it: whether it is higher at all.

        Some hundred validation rows can't detect a small gain: over 24 samples of labels, rounds that had to be better on them to be kept
        gained 0.65 points of accuracy on test, rounds that had to be no worse in this sense 0.9, each uncertain by about half a point
        (docs/self-training.md).
        """
        error = (self.loss.high - self.loss.value) / 2
        return self.loss.value > (error if math.isfinite(error) else 0.0)


def compare_round_scores(round_: RoundScore, supervised: RoundScore, groups: Sequence[str]) -> RoundComparison:
    """Compare a round with the supervised model on the same validation rows, never on test, clustered by group."""
    codes = np.asarray(groups)
    return RoundComparison(
        compare_paired(round_.losses, supervised.losses, clusters=codes, within=(0.0, np.inf)),
        compare_paired(round_.correct, supervised.correct, clusters=codes),
    )


@dataclass(frozen=True)
class NoisyStudentObjective(ClassificationObjective):
    """`ClassificationObjective` on texts whose tokens are masked with probability `token_mask_rate` in training; the teacher saw all.

    A student that sees as much as its teacher learns the teacher's mistakes with the rest; one that sees less must find other signs of the
    same answer (Xie et al. 2020). summary: further sentences of the summary, on the rounds.
    """

    token_mask_rate: float = 0.0
    summary: tuple[str, ...] = ()
    recipe: str = "self_training"

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the classification loss of the batch with tokens masked at random."""
        if not self.token_mask_rate:
            return super().loss(model, inputs)
        return super().loss(model, {**inputs, "attention_mask": drop_token_attention(inputs["attention_mask"], self.token_mask_rate)})

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return the sentences on the rounds, and those of `ClassificationObjective`."""
        return [*self.summary, *super().summary_lines(examples, max_tokens)]


def drop_token_attention(attention_mask: Any, share: float) -> Any:
    """Return the attention mask (rows, tokens), padded on the right, with each token's attention removed with probability `share`.

    First and last token of a row stay: they mark its ends, and at the last one a decoder's answer is read. Uses torch's generator, like
    dropout, so that a resumed run samples what it would have sampled.
    """
    last = attention_mask.sum(dim=1, keepdim=True) - 1
    place = torch.arange(attention_mask.shape[1], device=attention_mask.device)[None, :]
    inside = (place > 0) & (place < last)
    gone = inside & (torch.rand(attention_mask.shape, device=attention_mask.device) < share)
    return attention_mask * (~gone).to(attention_mask.dtype)


PREDICTIONS_FILE = "said.npz"  # in a training's folder


class StudentLearner(Protocol):
    """A way to learn a task's rows."""

    def fit_and_predict(self, task: TrainingTask, texts: TrainingExamples) -> dict[str, FloatArray]:
        """Learn the rows, or restore what a process that ended had learnt, and return the predictions and what `finalize` needs."""

    def finalize(self, task: TrainingTask) -> tuple[Any, dict[str, Any]]:
        """Return the learnt model as `save_trained_model` takes it, and further fields of its manifest."""


@dataclass(frozen=True)
class FineTunedLearner:
    """Learn by fine-tuning the weights, or an adapter, as `classify` does."""

    plan: TrainConfig
    tokenizer: Any
    retention: RetentionWithoutTexts
    general: Callable[[], RetentionData]

    def fit_and_predict(self, task: TrainingTask, texts: TrainingExamples) -> dict[str, FloatArray]:
        """Fine-tune on the task's rows, and return the predictions on validation rows and texts."""
        model = train_model(task, self.plan, self.tokenizer).model
        task.run.progress(TrainingProgress("reading the texts", 0, 1))
        seen = task.objective.validate(model, task.validation)
        read: Callable[[Sequence[TokenIds]], FloatArray] = partial(predict_log_probabilities, model, pad_id=task.objective.pad_id)  # type: ignore[attr-defined]
        said = _collect_predictions(seen, read(task.validation.tokens), read(texts.tokens), task.validation)
        del model, read
        gc.collect()  # makes room for the next training's weights
        return said

    def finalize(self, task: TrainingTask) -> tuple[Any, dict[str, Any]]:
        """Return the trainer, restored from its checkpoints, and the retention measurements."""
        return train_with_retention(task, self.plan, self.retention, self.tokenizer, self.general)


@dataclass(frozen=True)
class LinearProbeLearner:
    """Learn by a logistic head on the base's mean token vectors, see `select_logistic_head`; each text is read once, for all rounds.

    all_rows: all rows that will be learnt, validated or asked about, each known by its id. folder: where the vectors are cached. task:
    whose objective creates the base.
    """

    plan: TrainConfig
    folder: Path
    task: TrainingTask
    all_rows: Sequence[TrainingExamples]

    def fit_and_predict(self, task: TrainingTask, texts: TrainingExamples) -> dict[str, FloatArray]:
        """Fit a head to the task's rows, and return the predictions on validation rows and texts with the head."""
        validation = self._logistic_data(task.validation)
        head = select_logistic_head(self._logistic_data(task.train), validation)
        said, of_texts = (log_softmax(self._vectors_of(rows) @ head.weight.T + head.bias, axis=1) for rows in (task.validation, texts))
        seen = ValidationResult(head.losses(validation), task.validation.weights)
        kept = {"weight": head.weight, "bias": head.bias, "penalty": np.array(head.penalty), "loss": np.array(head.loss)}
        return {**_collect_predictions(seen, said, of_texts, task.validation), **kept}

    def finalize(self, task: TrainingTask) -> tuple[Any, dict[str, Any]]:
        """Return the base with the fitted head, and the penalty of the head."""
        started, kept = time.perf_counter(), read_arrays(task.run.folder / PREDICTIONS_FILE)
        head = LogisticHead(kept["weight"], kept["bias"], float(kept["penalty"]), float(kept["loss"]))
        model = set_head(task.create_model().eval(), head)
        done = build_fitted_model(task, self.plan, model, head, since=started, checkpoints=task.run.folder / "checkpoints")
        return done, {"probe": {"penalty": head.penalty}}

    def _logistic_data(self, rows: TrainingExamples) -> LogisticData:
        return LogisticData(self._vectors_of(rows), rows.targets, rows.weights)

    def _vectors_of(self, rows: TrainingExamples) -> FloatArray:
        place, vectors = self._vectors
        return vectors[[place[id_] for id_ in rows.ids]]

    @cached_property
    def _vectors(self) -> tuple[dict[str, int], FloatArray]:
        """Mean token vectors of all rows, read by the base once a run, and the place of each id among them."""
        self.task.run.progress(TrainingProgress("reading texts", 0, 1))
        pad_id = self.task.objective.pad_id  # type: ignore[attr-defined]

        def read() -> dict[str, FloatArray]:
            tokens = [ids for rows in self.all_rows for ids in rows.tokens]
            return {"vectors": mean_token_vectors(self.task.create_model().eval().body, tokens, pad_id)}

        ids = [id_ for rows in self.all_rows for id_ in rows.ids]
        return {id_: number for number, id_ in enumerate(ids)}, cached_arrays(self.folder / "vectors.npz", read)["vectors"]


def _collect_predictions(
    seen: ValidationResult, validation: FloatArray, texts: FloatArray, rows: TrainingExamples
) -> dict[str, FloatArray]:
    right = (validation.argmax(axis=1) == rows.targets.argmax(axis=1)).astype(np.float64)
    return {"validation": validation, "texts": texts, "losses": seen.row_contributions, "right": right}


def cached_arrays(path: Path, compute: Callable[[], Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """Return the arrays that an earlier start left in `path`, or `compute()`, kept there for the next."""
    if not path.exists():
        found = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.savez(file, **found)  # type: ignore[arg-type]
    return read_arrays(path)


def read_arrays(path: Path) -> dict[str, FloatArray]:
    """Return all arrays of a file."""
    with np.load(path) as found:
        return {name: found[name] for name in found.files}
