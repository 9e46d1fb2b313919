"""Train a small causal model by generalized knowledge distillation from a teacher (Agarwal et al., 2024), on-policy.

The student learns the teacher's distribution at each token, on people's answers and on those that it generates itself. A teacher is a
causal model with the student's vocabulary, token by token with the same numbers. It may also answer items that nobody has answered, which
become further training rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field

from preceptor.errors import UserError
from preceptor.generation.rollouts import sample_rollouts
from preceptor.models.adapters import DEFAULT_RANK, AdapterKind, refuse_quantized
from preceptor.models.atomic_folder import weights_digest
from preceptor.models.batching import TokenIds
from preceptor.models.causal_lm import ChatModel, check_causal, prepare_causal, prepare_tokenizer
from preceptor.models.chat_template import RenderedConversation, RenderError, build_conversation, render_conversation
from preceptor.models.completion_scoring import (
    LMHead,
    collate_completions,
    completion_loss,
    find_supervised_positions,
    loss_at_positions,
    map_completion_positions,
)
from preceptor.models.loading import get_context_length
from preceptor.registry import OptionsBase
from preceptor.training.drafts import generate_drafts, order_prompts_by_hash
from preceptor.training.examples import TrainingExamples, build_masked_examples, read_rows
from preceptor.training.forgetting import RetentionWithoutTexts, causal_general_data, fit_task
from preceptor.training.losses import compute_teacher_topk, generalized_jsd, mean_topk_kl
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.objective import TrainingTask, ValidationResult
from preceptor.training.recipe import TrainingProgress, TrainingRun, UnlabelledItem, recipes
from preceptor.training.run_folder import cached_json, run_recipe
from preceptor.training.sft import KL_MONITOR_ROWS, SFTObjective, SFTOptions, prepare_sft, preview_sft, sft_train_config, to_sft_options
from preceptor.types import Model


@dataclass(frozen=True)
class TeacherModel:
    """A frozen model whose predictions are learnt.

    width: number of tokens of the shared vocabulary, which are all that student and teacher have.
    """

    model: Any
    head: LMHead
    width: int
    pad_id: int

    @classmethod
    def load(cls, folder: Path, tokenizer: Any) -> Self:
        """Load the model of a folder, with an embedding for each token of the student, on the accelerator where there is one.

        tokenizer: the student's, see `check_teacher`.
        """
        model = prepare_causal(folder, tokenizer).eval().to(torch.accelerator.current_accelerator() or "cpu")
        return cls(model, LMHead.from_model(model), len(tokenizer), int(tokenizer.pad_token_id))

    def log_probabilities(self, tokens: Sequence[TokenIds], learnt: Sequence[Any]) -> Any:
        """Return the log-probabilities of the next token at the supervised positions, row after row.

        They are (positions, width), float32, in nats.
        """

        def read(logits: Any, _: Any) -> tuple[Any]:
            return (torch.log_softmax(logits[:, : self.width].float(), dim=-1),)

        rows = map_completion_positions(self.model, tokens, learnt, self.pad_id, read, head=self.head)
        return torch.cat([places for (places,) in rows])


def check_teacher(name: str, folder: Path, tokenizer: Any) -> None:
    """Raise UserError unless the folder holds a causal model with the student's vocabulary.

    tokenizer: the student's, prepared for training.
    """
    check_causal(folder)
    theirs = prepare_tokenizer(folder)
    if why := describe_vocabulary_mismatch(theirs.get_vocab(), tokenizer.get_vocab()):
        raise UserError(
            f"the teacher {name} has another vocabulary than the base: {why}",
            "take a teacher of the base's own family; or let any model write answers, and train sft on those that people approve of",
        )


def describe_vocabulary_mismatch(teacher: dict[str, int], student: dict[str, int]) -> str:
    """Describe how two vocabularies differ; empty where each token has the same number in both."""
    if teacher == student:
        return ""
    apart = sorted(token for token in {*teacher, *student} if teacher.get(token) != student.get(token))
    return f"{len(teacher):,} tokens and {len(student):,}; {len(apart):,} have another number or are in one only, such as {apart[0]!r}"


_TEACHER_ROW_PREFIX = "teacher:"  # before the ids of rows that the teacher answered
_TEACHER_ANSWERS_FILE = "teacher_said.json"  # in the run's folder, so that a resumed run learns the same answers


def select_unlabelled_prompts(run: TrainingRun, most: int) -> Sequence[UnlabelledItem]:
    """Return at most `most` of the items that nobody has answered, by the run's seed; raises UserError where there are none."""
    found = order_prompts_by_hash(list(run.unlabelled()) if run.unlabelled and most else [], run.seed)[:most]
    if most and not found:
        raise UserError(
            f"unlabelled={most} has the teacher answer items that nobody has answered, and there are none",
            "add some: preceptor import items FILE; or unlabelled=0",
        )
    return found


def add_teacher_answers(task: TrainingTask, teacher: TeacherModel, folder: Path, tokenizer: Any, most: int) -> TrainingTask:
    """Return the task with at most `most` further rows, answered by the teacher from `folder`, each of weight 1.

    An answer is left out if it is empty, or longer than people's longest plus a quarter: nobody wrote such ones.
    """
    if not (prompts := select_unlabelled_prompts(task.run, most)):
        return task
    longest = math.ceil(1.25 * float(task.train.supervised_counts.max()))

    def tell(done: int) -> None:
        task.run.progress(TrainingProgress("the teacher answers", done, len(prompts)))

    def ask() -> Mapping[str, str]:
        said = generate_drafts(ChatModel(folder, teacher.model), prompts, max_tokens=longest, samples=0, seed=0, progress=tell)
        return {draft.id: draft.text for draft in said}

    said = cached_json(task.run.folder / _TEACHER_ANSWERS_FILE, ask)
    fit: list[tuple[UnlabelledItem, RenderedConversation]] = []
    for prompt in prompts:
        if answer := said.get(prompt.id):
            with suppress(RenderError):  # too long with its answer
                fit.append((prompt, render_conversation(tokenizer, build_conversation(prompt.content, answer), task.max_tokens)))
    fit = [(prompt, cut) for prompt, cut in fit if sum(cut.supervised) <= longest]
    ids, groups = [f"{_TEACHER_ROW_PREFIX}{prompt.id}" for prompt, _ in fit], [prompt.group for prompt, _ in fit]
    return replace(task, train=task.train.concatenate(build_masked_examples(ids, groups, [cut for _, cut in fit], [1.0] * len(fit))))


def count_teacher_rows(rows: TrainingExamples) -> int:
    """Return the number of rows that the teacher answered."""
    return sum(id_.startswith(_TEACHER_ROW_PREFIX) for id_ in rows.ids)


@dataclass(frozen=True)
class DistillationObjective(SFTObjective):
    """Learn by (1 − sft_weight)·JSD_β(teacher, student) + sft_weight·(−log p of people's answers).

    With probability `on_policy_fraction` the answers of a batch are sampled from the student as it is. That decision and the seed of a
    sample come from torch's own generator, whose state a checkpoint holds: a resumed run samples the same. As each token of the student's
    own answer counts n/m, where people's answer has n tokens and the student's m, a row weighs the same either way.

    teacher: the model that is learnt from. beta: of the generalized Jensen-Shannon divergence. end_tokens: tokens that end an answer.
    max_new_tokens: most tokens of an answer of the student. max_tokens: most tokens of a row. teacher_monitor_rows: validation rows with
    the teacher's predictions.
    """

    recipe: str = "distill"
    teacher: TeacherModel | None = None
    beta: float = 0.5
    on_policy_fraction: float = 0.5
    sft_weight: float = 0.0
    end_tokens: frozenset[int] = frozenset()
    max_new_tokens: int = 1
    max_tokens: int = 1
    teacher_monitor_rows: TrainingExamples | None = None

    @property
    def remedies(self) -> tuple[str, ...]:
        """Only remedies that change no rows: general texts would be answered again as well, and the teacher followed on them."""
        return ("slower", "l2sp")

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the loss of a batch, on people's answers or on the student's own, a scalar with gradients."""
        labels = self.sft_weight * completion_loss(model, self._head(model), inputs) if self.sft_weight else 0.0
        given = self.sample_on_policy(model, inputs) if torch.rand(()) < self.on_policy_fraction else inputs
        return labels + (1 - self.sft_weight) * self.teacher_loss(model, given)

    def sample_on_policy(self, model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the batch with the student's own answers to its prompts, whose tokens are supervised."""
        rows = [(ids, mask, _prompt_length(mask)) for ids, mask in zip(*_unpad_batch(inputs), strict=True)]
        prompts = [ids[:prompt] for ids, _, prompt in rows]
        room = min(self.max_new_tokens, self.max_tokens - max(map(len, prompts)))
        seed = int(torch.randint(2**31, ()))
        drawn = sample_rollouts(model, self.tokenizer, prompts, max_tokens=room, seed=seed, ends=self.end_tokens)
        said = [answer.tokens for (answer,) in drawn]
        tokens = [[*prompt, *answer] for prompt, answer in zip(prompts, said, strict=True)]
        learnt = [[False] * len(prompt) + [True] * len(answer) for prompt, answer in zip(prompts, said, strict=True)]
        share = torch.tensor([sum(mask) / len(answer) for (_, mask, _), answer in zip(rows, said, strict=True)])
        batch = {name: each.to(model.device) for name, each in collate_completions(tokens, learnt, self.pad_id).items()}
        return {**batch, "weights": inputs["weights"] * share.to(model.device)}

    def teacher_loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the weighted sum over the supervised positions of the divergence of student and teacher, a scalar with gradients."""
        assert self.teacher is not None
        taught = self.teacher.log_probabilities(*_unpad_batch(inputs)).to(model.device)
        weights, width = find_supervised_positions(inputs)[2], self.teacher.width
        head = replace(self._head(model), trunk=None)  # it would cache states of answers that never come again

        def loss(logits: Any, part: slice) -> Any:
            said = torch.log_softmax(logits[:, :width].float(), dim=-1)
            return (generalized_jsd(taught[part], said, self.beta) * weights[part]).sum()

        return loss_at_positions(model, head, inputs, loss)

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return the loss on people's answers, which the student is for, and its divergence from the teacher on a few of them."""
        found = super().validate(model, examples)
        if self.teacher_monitor_rows is None:
            return found
        apart = mean_topk_kl(model, self._head(model), self.teacher_monitor_rows, self.pad_id)
        return replace(found, figures={**found.figures, "kl_to_teacher": apart})

    def with_teacher_monitor(self, rows: TrainingExamples) -> DistillationObjective:
        """Return the objective that at validation also measures the divergence from the teacher on some of these rows."""
        assert self.teacher is not None
        few = rows.select(range(min(KL_MONITOR_ROWS, len(rows))))
        said = compute_teacher_topk(self.teacher.model, self.teacher.head, few.tokens, few.targets, self.pad_id)
        return replace(self, teacher_monitor_rows=replace(few, teacher_topk=said))

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return sentences on what was learnt from the teacher, and those of `SFTObjective`."""
        told = {0.0: "KL(teacher to student)", 1.0: "KL(student to teacher)"}.get(
            self.beta, f"the Jensen-Shannon divergence, beta {self.beta:g}"
        )
        mixed = f"; {self.sft_weight:.0%} of the loss was people's answers" if self.sft_weight else ""
        said = (
            f"The teacher was followed by {told}, in about {self.on_policy_fraction:.0%} "
            f"of the batches on answers that the student wrote itself{mixed}."
        )
        more = count_teacher_rows(examples)
        written = [f"{more:,} of the {len(examples):,} rows were answered by the teacher, not by people."] if more else []
        return [said, *written, *super().summary_lines(examples, max_tokens)]


def _unpad_batch(inputs: Mapping[str, Any]) -> tuple[list[list[int]], list[list[bool]]]:
    """Return a batch's rows as lists: tokens, and which of them are supervised."""
    lengths = inputs["attention_mask"].sum(dim=1).tolist()

    def cut(rows: Any) -> list[Any]:
        return [row[:length] for row, length in zip(rows.tolist(), lengths, strict=True)]

    return cut(inputs["input_ids"]), cut(inputs["supervised"])


def _prompt_length(learnt: Sequence[bool]) -> int:
    """Return the number of tokens before a row's last answer, with which the row ends."""
    return next(at for at in range(len(learnt), 0, -1) if not learnt[at - 1])


class DistillationOptions(OptionsBase):
    """Options of the recipe `distill`."""

    teacher: str = Field(description="the teacher, with the student's vocabulary: a base's name, a model's id, or a folder")
    beta: float = Field(0.0, ge=0, le=1, description="of the generalised JSD; 0: KL(teacher‖student), 1: KL(student‖teacher)")
    on_policy_fraction: float = Field(
        0.5, ge=0, le=1, description="fraction of batches whose answers are sampled from the student (λ in GKD)"
    )
    sft_weight: float = Field(0.0, ge=0, lt=1, description="weight of the loss of sft, 1 − that of distillation")
    unlabelled: int = Field(0, ge=0, description="maximum number of unlabelled items that the teacher answers to train on")
    adapter: AdapterKind = Field("lora", description="low-rank adapter: lora, dora, lora-top (upper third); none: all weights")
    rank: int = Field(DEFAULT_RANK, ge=1, le=512, description="rank of the adapter")
    epochs: float = Field(3.0, gt=0, description="maximum passes over the training rows")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    max_train_rows: int | None = Field(None, ge=1, description="train on this many rows only; larger samples contain smaller ones")
    max_tokens: int = Field(1024, ge=4, description="longer rows are excluded and counted, never truncated")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionWithoutTexts = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@recipes.register("distill", options=DistillationOptions)
def train_distillation(run: TrainingRun, options: DistillationOptions) -> Model:
    """Distil a teacher on-policy (generalised knowledge distillation, Agarwal et al. 2024).

    The student generates answers, and learns at each token what the teacher would have predicted there. Supports: what `sft` supports, over
    the whole vocabulary, rows weighted by people's posterior.

    The weights that are kept are those that predict people's own answers on the validation split best: a student doesn't follow its teacher
    into errors. Refuses: a teacher with another vocabulary, `unlabelled` where there is no such item, and what `sft` refuses.
    """
    check_causal(run.base)
    refuse_quantized(run.base)
    folder = run.folder_of(options.teacher)
    check_teacher(options.teacher, folder, prepare_tokenizer(run.base))
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    select_unlabelled_prompts(run, options.unlabelled)

    def train() -> Model:
        sft = _limit_to_teacher_window(run, to_sft_options(options), folder)
        prepared = prepare_sft(run, sft)
        task = _build_distillation_task(prepared.task, prepared.tokenizer, options)
        trainer, measured = fit_task(task, sft_train_config(task, sft), options, prepared.tokenizer, causal_general_data)
        told = {"name": options.teacher, "weights": weights_digest(folder), "answered": count_teacher_rows(task.train)}
        return save_trained_model(task, trainer, prepared.tokenizer, measured={**measured, "teacher": told}, options=options.model_dump())

    return run_recipe(run, "distill", options, train, teacher=weights_digest(folder))


def preview_distillation(run: TrainingRun, options: DistillationOptions) -> dict[str, Any]:
    """Return what `train_distillation` would train on, after checking that its teacher can be used; nothing is trained or written."""
    check_causal(run.base)
    folder = run.folder_of(options.teacher)
    check_teacher(options.teacher, folder, prepare_tokenizer(run.base))
    shown = preview_sft(run, _limit_to_teacher_window(run, to_sft_options(options), folder))
    return {**shown, "unlabelled": len(select_unlabelled_prompts(run, options.unlabelled))} if options.unlabelled else shown


train_distillation.preview = preview_distillation


def _limit_to_teacher_window(run: TrainingRun, options: SFTOptions, teacher: Path) -> SFTOptions:
    """Return the options with rows no longer than the teacher reads, where the student reads more; longer ones are left out and counted."""
    tokenizer = prepare_tokenizer(run.base)
    student, most = get_context_length(run.base, tokenizer), get_context_length(teacher, tokenizer)
    return options.model_copy(update={"max_tokens": most}) if most < min(options.max_tokens, student) else options


def _build_distillation_task(task: TrainingTask, tokenizer: Any, options: DistillationOptions) -> TrainingTask:
    """Return the task of `sft` with the teacher and the rows that it answers; the student's answers may be as long as people's longest."""
    folder, train = task.run.folder_of(options.teacher), task.train
    teacher = TeacherModel.load(folder, tokenizer)
    objective = DistillationObjective(
        task.run.base, tokenizer, options.adapter, options.rank,
        teacher=teacher, beta=options.beta, on_policy_fraction=options.on_policy_fraction, sft_weight=options.sft_weight,
        end_tokens=frozenset({int(tokens[-1]) for tokens in train.tokens} | {int(tokenizer.eos_token_id)}),
        max_new_tokens=max(len(mask) - _prompt_length(mask.tolist()) for mask in train.targets),
        max_tokens=task.max_tokens,
    )  # fmt: skip
    task = replace(task, objective=objective.with_teacher_monitor(task.validation))
    return add_teacher_answers(task, teacher, folder, tokenizer, options.unlabelled)
