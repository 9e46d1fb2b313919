"""Train from expert demonstrations and corrections by DAgger (Ross, Gordon & Bagnell, 2011).

Round 0 is behaviour cloning of the answers that experts wrote. In each later round the model answers prompts by itself, and experts correct
its answers, so corrections are made where its own mistakes lead. Every round trains from the base on the rows of all rounds, each
correction with weight 1. The state of each round is kept in the run's folder as it comes, so that a run resumes where it stopped or waited.
The curve of the rounds holds validation loss, exact matches, and how much of the model's answers experts left unchanged.
"""

from __future__ import annotations

import gc
import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from preceptor.errors import UserError
from preceptor.models.adapters import DEFAULT_RANK, AdapterKind, refuse_quantized, unwrap_model
from preceptor.models.causal_lm import ChatModel, check_causal
from preceptor.models.chat_template import RenderError, build_conversation, render_conversation
from preceptor.registry import OptionsBase
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.training.drafts import AnswerDraft, PromptItem, generate_drafts, order_prompts_by_hash, select_drafts
from preceptor.training.examples import TrainingExamples, build_masked_examples, read_rows, top_answer
from preceptor.training.forgetting import RetentionMethod, causal_general_data, train_with_retention
from preceptor.training.hyperparameters import resolve_hyperparameters
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.recipe import FeedbackPending, FeedbackRequest, TrainingProgress, TrainingRow, TrainingRun, recipes
from preceptor.training.run_folder import cached_json, run_recipe
from preceptor.training.sft import SFTObjective, prepare_sft, preview_sft, sft_train_config, to_sft_options
from preceptor.training.trainer import train_model
from preceptor.types import Estimate, Model, render_content

CorrectionScope = Literal["human", "whole"]


@dataclass(frozen=True, slots=True)
class ExpertCorrection:
    """An expert's correction of a model's answer.

    id, content, group: of the item. round: the one in which the correction was requested. draft: the model's answer. answer: what it should
    have been, equal to `draft` where that was right.
    """

    id: str
    content: Mapping[str, Any]
    group: str
    round: int
    draft: str
    answer: str

    @property
    def kept_prefix(self) -> int:
        """Number of characters of the draft before the first wrong one, with which the answer begins too."""
        draft, answer = self.draft.strip(), self.answer.strip()
        most = min(len(draft), len(answer))
        return next((at for at in range(most) if draft[at] != answer[at]), most)

    @property
    def is_unchanged(self) -> bool:
        """Whether the expert left the draft as it was."""
        return self.draft.strip() == self.answer.strip()

    def to_dict(self) -> dict[str, Any]:
        """Return the correction as a JSON object."""
        return asdict(self)


def build_correction_examples(
    corrections: Sequence[ExpertCorrection], tokenizer: Any, *, max_tokens: int, learnt: CorrectionScope
) -> TrainingExamples:
    """Return the corrections as rows of weight 1; those that can't be trained on are counted by reason.

    learnt: "human": the prompt and the kept prefix of the draft are read, and what the expert wrote after it is supervised, with the end of
    the answer; of an answer that was right only its end. "whole": the kept prefix is supervised too, as what the expert would have written.
    """
    fit, reasons = [], list[str]()
    for each in corrections:
        try:
            standing = each.kept_prefix if learnt == "human" else 0
            fit.append(
                (each, render_conversation(tokenizer, build_conversation(each.content, each.answer.strip()), max_tokens, standing=standing))
            )
        except RenderError as refused:
            reasons.append(refused.reason)
    ids = [f"round-{each.round}:{each.id}" for each, _ in fit]
    return build_masked_examples(ids, [each.group for each, _ in fit], [cut for _, cut in fit], [1.0] * len(fit), Counter(reasons))


EXACT_MATCH_ROWS = 200  # validation prompts that the model answers, at most


def curve_point(round_: int, spent: int, seen: ValidationResult, groups: Sequence[str], exact: Estimate) -> dict[str, Any]:
    """Return one point of the curve, a JSON value, with intervals by group.

    spent: corrections that experts gave so far. seen: the validation of the model; its loss is in nats a token. exact: share of held-out
    prompts that the model answers word for word as people do.
    """
    loss = estimate_mean(seen.row_contributions, clusters=groups, within=(0.0, np.inf))
    return {"round": round_, "corrections": spent, "validation_loss": loss.to_dict(), "exact": exact.to_dict()}


def exact_match_rate(chat: ChatModel, rows: Sequence[TrainingRow], *, max_tokens: int, seed: int) -> Estimate:
    """Estimate the share of rows, of `EXACT_MATCH_ROWS` at most, that the model answers word for word as people's most probable answer."""
    wanted = {row.id: top_answer(row).strip() for row in rows}
    some = order_prompts_by_hash(rows, seed)[:EXACT_MATCH_ROWS]
    said = {draft.id: draft.text for draft in generate_drafts(chat, some, max_tokens=max_tokens, samples=0, seed=seed)}
    return estimate_mean([float(said.get(prompt.id) == wanted[prompt.id]) for prompt in some], clusters=[prompt.group for prompt in some])


def correction_stats(corrections: Sequence[ExpertCorrection]) -> dict[str, Any]:
    """Return for one round the share of answers that experts left unchanged, and the share of characters that they didn't have to write.

    These answers were selected because the model was uncertain of them: of all its answers, a larger share is right.
    """
    right = estimate_mean([float(each.is_unchanged) for each in corrections])
    kept = float(np.mean([each.kept_prefix / max(1, len(each.answer.strip())) for each in corrections]))
    return {"asked": len(corrections), "right": right.to_dict(), "characters_kept": round(kept, 4)}


def dagger_summary_lines(
    curve: Sequence[Mapping[str, Any]], change: Estimate, rounds: Sequence[Mapping[str, Any]], wished: int
) -> list[str]:
    """Return the curve in sentences.

    change: of the validation loss from its first point to its last. wished: the number of rounds that were planned.
    """
    if not wished:
        return ["Nobody was asked to correct anything: this is plain behaviour cloning, sft on the answers that people wrote."]
    if not rounds:
        return ["There was no prompt that the model could read and answer: nobody was asked to correct anything."]
    first, last = curve[0], curve[-1]
    told = [
        f"After {last['corrections']:,} corrections in {len(rounds)} rounds the validation loss is {last['validation_loss']['value']:.3f}, "
        f"before them it was {first['validation_loss']['value']:.3f}: {_describe_loss_change(change)}. Word for word as people answers "
        f"{Estimate.from_dict(last['exact']).format_percent()}, before {Estimate.from_dict(first['exact']).format_percent()}."
    ]
    for number, each in enumerate(rounds, start=1):
        told.append(
            f"In round {number} experts left {Estimate.from_dict(each['right']).format_percent()} "
            f"of {each['asked']:,} answers as they were."
        )
    if len(rounds) < wished:
        told.append(f"Of {wished} rounds {len(rounds)} were held: then no prompt was left to ask about.")
    return told


def _describe_loss_change(change: Estimate) -> str:
    """Describe the paired change of a loss."""
    if not math.isfinite(change.high):
        return "one group of rows doesn't say whether that is chance"
    judged = "lower" if change.high < 0 else "higher" if change.low > 0 else "a change that may be chance"
    return f"{judged}, row by row, {change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"


MIN_ANSWERED_SHARE = 0.9  # of a round's requests, before the next begins; corrections that come later are learnt in later rounds
ROUNDS_FOLDER = "rounds"


@dataclass(frozen=True)
class DAggerBudget:
    """Limit what is asked of experts.

    budget: answers a round that experts correct. prompt_count: prompts that the model answers, from which those are selected. samples:
    further answers sampled to each, by whose disagreement uncertainty is measured. correction_scope: which part of a correction is
    supervised.
    """

    budget: int
    prompt_count: int
    samples: int
    correction_scope: CorrectionScope


@dataclass
class DAggerRounds:
    """Run the rounds of DAgger of one training run.

    task: the rows that experts wrote by themselves. evaluations: points of the curve with the validation losses, by round. round_stats:
    what experts left unchanged, by round. corrections: all so far. prompts: what the model may be asked.
    """

    task: TrainingTask
    plan: TrainConfig
    tokenizer: Any
    budget: DAggerBudget
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    round_stats: list[dict[str, Any]] = field(default_factory=list)
    corrections: list[ExpertCorrection] = field(default_factory=list)
    prompts: Sequence[PromptItem] = field(default_factory=list)

    def run(self, count: int) -> TrainingTask:
        """Go through `count` rounds, or until no prompt is left, and return the task with all corrections.

        Raises FeedbackPending where too few of a round's corrections are there yet.
        """
        self.prompts = _read_prompts(self.task.run) if count else []
        for number in range(1, count + 1):
            if not self._run_round(number):
                break
        return self._aggregated()

    def record_final(self, model: Any) -> None:
        """Add the finished model as the last point of the curve."""
        self.folder.mkdir(exist_ok=True)
        self.evaluations.append(cached_json(self.folder / "last.json", partial(self._evaluate_model, model)))

    @property
    def curve(self) -> list[dict[str, Any]]:
        """The point of each round, and that of the finished model."""
        return [look["point"] for look in self.evaluations]

    @property
    def loss_change(self) -> Estimate:
        """Paired change of the validation loss from round 0 to the finished model, in nats a token; below 0 is better."""
        return compare_paired(
            self.evaluations[-1]["losses"], self.evaluations[0]["losses"], clusters=self.task.validation.groups, within=(0.0, math.inf)
        )

    @property
    def folder(self) -> Path:
        return self.task.run.folder / ROUNDS_FOLDER

    def _run_round(self, number: int) -> bool:
        """Run one round (draft, select, have corrected) and return whether there was anything to ask about."""
        seen = cached_json(self._round_folder(number) / "drafts.json", partial(self._draft_round, number))
        shutil.rmtree(self._round_folder(number) / "checkpoints", ignore_errors=True)  # these weights are not needed any more
        if not seen["asked"]:
            return False
        self.evaluations.append(seen["look"])
        answered = cached_json(self._round_folder(number) / "corrections.json", partial(self._collect_corrections, number))
        corrections = [ExpertCorrection(**each) for each in answered]
        self.corrections += corrections
        self.round_stats.append({**correction_stats(corrections), "items": [each.id for each in corrections]})
        return True

    def _draft_round(self, number: int) -> dict[str, Any]:
        """Train on all that is known, answer prompts, and select the drafts to be corrected."""
        run = replace(self.task.run, folder=self._round_folder(number))
        model = train_model(replace(self._aggregated(), run=run), self.plan, self.tokenizer).model
        chat = self._chat(model)
        prompts = order_prompts_by_hash(
            [prompt for prompt in self.prompts if prompt.id not in self._requested_ids(number)], self._seed(number)
        )
        some = prompts[: self.budget.prompt_count]

        def tell(done: int) -> None:
            self.task.run.progress(
                TrainingProgress(f"round {number}: the model answers", done, len(some) * (1 + bool(self.budget.samples)))
            )

        said = generate_drafts(
            chat, some, max_tokens=self.max_answer_tokens, samples=self.budget.samples, seed=self._seed(number), progress=tell
        )
        found = {
            "look": self._evaluate_model(model),
            "asked": [draft.to_dict() for draft in select_drafts(said, self.budget.budget, self.corrections)],
        }
        del model, chat
        gc.collect()
        return found

    def _collect_corrections(self, number: int) -> list[dict[str, Any]]:
        """Return the corrections of this round, and late ones of earlier rounds; raises FeedbackPending when there are too few."""
        assert self.task.run.ask is not None
        waiting = {f"round-{at}:{draft.id}": (at, draft) for at in range(1, number + 1) for draft in self._requested_drafts(at)}
        for each in self.corrections:
            waiting.pop(f"round-{each.round}:{each.id}", None)
        said = self.task.run.ask("correct", [_correction_request(id_, draft) for id_, (_, draft) in waiting.items()])
        mine = [id_ for id_, (at, _) in waiting.items() if at == number]
        there = sum(id_ in said for id_ in mine)
        if there < math.ceil(MIN_ANSWERED_SHARE * len(mine)):
            raise FeedbackPending(
                f"{len(mine) - there:,} of {len(mine):,} answers of round {number} wait for an expert's correction",
                "when they are there, the same command goes on from here",
            )
        return [
            ExpertCorrection(draft.id, draft.content, draft.group, at, draft.text, str(said[id_])).to_dict()
            for id_, (at, draft) in waiting.items()
            if id_ in said
        ]

    def _aggregated(self) -> TrainingTask:
        if not self.corrections:
            return self.task
        more = build_correction_examples(
            self.corrections, self.tokenizer, max_tokens=self.task.max_tokens, learnt=self.budget.correction_scope
        )
        left_out = {**self.task.train.excluded}
        for reason, count in more.excluded.items():
            left_out[reason] = left_out.get(reason, 0) + count
        return replace(self.task, train=replace(self.task.train.concatenate(more), excluded=left_out))

    def _evaluate_model(self, model: Any) -> dict[str, Any]:
        """Return a point of the curve, and what each validation row contributes to the loss."""
        task, seed = self.task, self.task.run.seed
        exact = exact_match_rate(self._chat(model), self._validation, max_tokens=self.max_answer_tokens, seed=seed)
        seen = task.objective.validate(model, task.validation)
        at = curve_point(len(self.round_stats), len(self.corrections), seen, task.validation.groups, exact)
        return {"point": at, "losses": seen.row_contributions.tolist()}

    def _chat(self, model: Any) -> ChatModel:
        return ChatModel(self.task.run.base, unwrap_model(model).eval())

    @cached_property
    def _validation(self) -> Sequence[TrainingRow]:
        return list(self.task.run.snapshot.rows("validation"))

    @cached_property
    def max_answer_tokens(self) -> int:
        """Most tokens that an answer may have: a quarter more than the longest that experts wrote."""
        return math.ceil(1.25 * float(self.task.train.supervised_counts.max()))

    def _requested_drafts(self, number: int) -> list[AnswerDraft]:
        kept = cached_json(self._round_folder(number) / "drafts.json", partial(self._draft_round, number))
        return [AnswerDraft(**each) for each in kept["asked"]]

    def _requested_ids(self, number: int) -> set[str]:
        return {draft.id for at in range(1, number) for draft in self._requested_drafts(at)}

    def _round_folder(self, number: int) -> Path:
        folder = self.folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _seed(self, number: int) -> int:
        return self.task.run.seed * 1000 + number


def _read_prompts(run: TrainingRun) -> Sequence[PromptItem]:
    """Return items that nobody has answered or, where there are none, the training prompts."""
    found = list(run.unlabelled()) if run.unlabelled else []
    return found or list(run.snapshot.rows("train"))


def _correction_request(id_: str, draft: AnswerDraft) -> FeedbackRequest:
    """Return the request for the correction of a draft, as people see it."""
    content = dict(draft.content)
    if "prompt" not in content and "messages" not in content:
        content = {"prompt": render_content(draft.content)}
    return FeedbackRequest(id_, {**content, "responses": [draft.text]}, draft.value)


DEFAULT_ROUNDS = 3


class DAggerOptions(OptionsBase):
    """Options of the recipe `dagger`."""

    rounds: int | None = Field(
        None,
        ge=0,
        le=20,
        description=f"rounds of corrections; 0: behaviour cloning; none: {DEFAULT_ROUNDS} where people can be asked, else 0",
    )
    budget: int = Field(50, ge=1, description="answers per round that experts are asked to correct")
    candidate_pool: int = Field(400, ge=1, description="prompts per round that the model answers; those to correct are selected from them")
    samples: int = Field(3, ge=0, le=32, description="additional answers sampled per prompt, to measure how far they disagree")
    target: CorrectionScope = Field(
        "human", description="supervised tokens of a correction: those that the expert wrote (human), or the whole answer (whole)"
    )
    adapter: AdapterKind = Field("lora", description="low-rank adapter: lora, dora, lora-top (upper third); none: all weights")
    rank: int = Field(DEFAULT_RANK, ge=1, le=512, description="rank of the adapter")
    epochs: float = Field(3.0, gt=0, description="maximum passes over the training rows in each round")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    max_tokens: int = Field(1024, ge=4, description="longer rows are excluded and counted, never truncated")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionMethod = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@dataclass(frozen=True)
class DAggerObjective(SFTObjective):
    """`SFTObjective` on the answers that experts wrote and corrected.

    summary: further sentences of the summary, on the rounds.
    """

    recipe: str = "dagger"
    summary: tuple[str, ...] = ()

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return the sentences on the rounds, and those of `SFTObjective`."""
        return [*self.summary, *super().summary_lines(examples, max_tokens)]


@recipes.register("dagger", options=DAggerOptions)
def train_dagger(run: TrainingRun, options: DAggerOptions) -> Model:
    """Clone the answers that experts wrote, then run rounds of DAgger, see `DAggerRounds`.

    Supports: what `sft` supports; a question with answers to choose among, whose right one is the correction; answers that come later.

    Raises FeedbackPending, a UserError, where a round's corrections aren't there yet; the same run resumes from there. Refuses: rounds
    where nobody can be asked, and what `sft` refuses.
    """
    check_causal(run.base)
    refuse_quantized(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    count = resolve_round_count(run, options)

    def train() -> Model:
        sft = to_sft_options(options)
        prepared = prepare_sft(run, sft)
        teaches = DAggerObjective(run.base, prepared.tokenizer, options.adapter, options.rank)
        task = replace(prepared.task, objective=teaches)
        plan, measured = resolve_hyperparameters(task, sft_train_config(task, sft), options.dtype, options.learning_rate)
        rounds = DAggerRounds(
            task, plan, prepared.tokenizer, DAggerBudget(options.budget, options.candidate_pool, options.samples, options.target)
        )
        task = rounds.run(count)
        trainer, retained = train_with_retention(task, plan, options.retention, prepared.tokenizer, partial(causal_general_data, run))
        rounds.record_final(trainer.model)
        about = {
            "dagger": {
                "curve": rounds.curve,
                "change": rounds.loss_change.to_dict(),
                "rounds": rounds.round_stats,
                "target": options.target,
            }
        }
        task = replace(
            task,
            objective=replace(teaches, summary=tuple(dagger_summary_lines(rounds.curve, rounds.loss_change, rounds.round_stats, count))),
        )
        return save_trained_model(
            task, trainer, prepared.tokenizer, measured={**measured, **retained, **about}, options=options.model_dump()
        )

    return run_recipe(run, "dagger", options, train, rounds=count)


def preview_dagger(run: TrainingRun, options: DAggerOptions) -> dict[str, Any]:
    """Return what round 0 would train on, and how many corrections would be requested; nothing is trained, asked or written."""
    count = resolve_round_count(run, options)
    return {**preview_sft(run, to_sft_options(options)), "rounds_of_corrections": count, "corrections": count * options.budget}


train_dagger.preview = preview_dagger


def resolve_round_count(run: TrainingRun, options: DAggerOptions) -> int:
    """Return the number of rounds of corrections; raises UserError where some are requested and nobody can be asked."""
    if run.ask is None and options.rounds:
        raise UserError(
            f"rounds={options.rounds} needs experts who correct what the model says, and nobody can be asked",
            "preceptor train dagger --human-feedback …, or rounds=0: behaviour cloning of the answers that there are",
        )
    return (DEFAULT_ROUNDS if run.ask is not None else 0) if options.rounds is None else options.rounds
