"""A reinforcement from its options to the finished model; `grpo` and `rloo` differ in how rewards become a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import refuse_packed
from preceptor.models.causal import check_causal, start_tokenizer
from preceptor.models.chat import ChatTokenizer
from preceptor.models.template import is_plain
from preceptor.recipes.completing import SHOWN, shown, to_completions
from preceptor.recipes.examples import Examples, read_rows
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.knowing import Knowledge
from preceptor.recipes.left_out import named
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.recipe import Run
from preceptor.recipes.reinforcing.objective import Reinforcing
from preceptor.recipes.reinforcing.prompts import REASONS, asked, ever_answered, to_prompts
from preceptor.recipes.reinforcing.rounds import Drawn, Method
from preceptor.recipes.reinforcing.telling import told_of
from preceptor.recipes.reinforcing.trainer import ReinforcingTrainer
from preceptor.recipes.retention import words as retention_words
from preceptor.recipes.rewarding.rewards import parts
from preceptor.recipes.rewarding.spec import PartSpec, RewardSpec
from preceptor.recipes.settling import identity, settle
from preceptor.recipes.trainer import fitted
from preceptor.registry import OptionsBase

RANK, LOOKS, HELD = 16, 8, 128  # width of the adapter; looks at held-out prompts in a run; held-out prompts at most
EVER = 10**9  # looks without a better reward, which is noisy: the guard ends a run, not patience


class ReinforceOptions(OptionsBase):
    """What can be tuned about a reinforcement; the defaults suit a small model and some hundred prompts."""

    rewards: RewardSpec = Field(
        (PartSpec(part="exact"),), description="what answers earn: exact, regex:PATTERN, model:ID, policy:FILE, …, each with *WEIGHT"
    )
    choices: int = Field(8, ge=2, le=64, description="answers to each prompt, which are held against each other")
    max_new_tokens: int = Field(64, ge=1, description="tokens of an answer, at most")
    temperature: float = Field(1.0, gt=0, le=2, description="of drawing, and of the policy that is trained")
    beta: float = Field(0.02, ge=0, description="how much a nat of divergence from the base costs, in units of reward")
    most_kl: float | None = Field(15.0, gt=0, description="nats an answer from the base at which the run is stopped; none: any")
    epochs: float = Field(1.0, gt=0, description="passes over the training prompts")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: 2e-4 for an adapter, 1e-5 for all weights")
    batch_size: int = Field(8, ge=1, description="prompts a step, each with all its answers")
    adapter: Literal["lora", "dora", "none"] = Field("lora", description="small matrices beside frozen weights, or none")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")


def reinforce(run: Run, options: ReinforceOptions, name: str, method: Method) -> Model:
    """Rounds of answers, rewards and one update each, over the prompts of the train split; the rest as `sft`."""
    check_causal(run.base)
    refuse_packed(run.base)
    with locked(run.folder):
        claim(run.folder, identity(run, name, options))
        if (model := finished(run)) is not None:
            return model
        prepared = prepare(run, options, name, method)
        task, tokenizer = prepared.task, prepared.tokenizer
        rate = options.learning_rate or prepared.objective.rates[0]
        plan, measured = settle(_rehearsal(task, options), planned(run, options), options.dtype, rate)
        knowledge = Knowledge(task, tokenizer, run.general) if run.general and (run.general.texts or run.general.suites) else None
        trainer = fitted(lambda: ReinforcingTrainer(task, plan, "training", most_kl=options.most_kl), task, tokenizer)
        seen = told_of(trainer)
        kept = {} if knowledge is None else {"retention": _retained(knowledge, trainer.model)}
        return finish(task, trainer, tokenizer, measured={**measured, **kept}, options=options.model_dump(mode="json"), seen=seen)


def preview(run: Run, options: ReinforceOptions) -> dict[str, Any]:
    """What would be asked, and what left out, as `preview_completions` tells it; nothing is drawn. Each answer's tokens are learnt."""
    check_causal(run.base)
    refuse_packed(run.base)
    rewards, chat = parts(options.rewards, run), ChatTokenizer(run.base)
    splits = {"train": read_rows(run, "train", answers=False), "validation": read_rows(run, "validation", answers=False)}
    found = {split: asked(rows, chat, room=options.max_new_tokens) for split, rows in splits.items()}
    rewards.check([splits[split][number] for split, (tokens, _) in found.items() for number in tokens], options.max_new_tokens)
    reasons = {split: [refused[number] for number in sorted(refused)] for split, (_, refused) in found.items()}
    refusals = [(split, splits[split][number].id, reason) for split, (_, refused) in found.items() for number, reason in refused.items()]
    return {
        "template": "plain: prompt, then completion" if is_plain(chat.tokenizer) else "the tokenizer's own",
        "rows": {split: len(tokens) for split, (tokens, _) in found.items()},
        "tokens": {split: sum(map(len, tokens.values())) for split, (tokens, _) in found.items()},
        "supervised_tokens": dict.fromkeys(splits, 0),
        "answers": round(options.epochs * len(found["train"][0])) * options.choices,
        "longest": {split: max(map(len, tokens.values()), default=0) for split, (tokens, _) in found.items()},
        "left_out": {split: {reason: said.count(reason) for reason in sorted(set(said))} for split, said in reasons.items()},
        "left_out_rows": named(refusals, REASONS),
        "examples": [
            {"id": splits["train"][number].id, "tokens": shown(chat.tokenizer, ids, [False] * len(ids))}
            for number, ids in list(found["train"][0].items())[:SHOWN]
        ],
    }


@dataclass(frozen=True)
class Prepared:
    """A run's prompts as tokens, and what is taught with them, before anything is drawn."""

    task: Task
    tokenizer: Any
    objective: Reinforcing


def prepare(run: Run, options: ReinforceOptions, name: str, method: Method) -> Prepared:
    """UserError where a reward can't be made, a split is empty, or none of its prompts can be asked."""
    rewards, tokenizer, chat = parts(options.rewards, run), start_tokenizer(run.base), ChatTokenizer(run.base)
    rows = {"train": read_rows(run, "train", answers=False), "validation": read_rows(run, "validation", answers=False)}
    train, held = (to_prompts(found, chat, room=options.max_new_tokens, split=split) for split, found in rows.items())
    rewards.check([*train.targets, *held.targets], options.max_new_tokens)
    answered = to_completions(ever_answered(rows["validation"]), tokenizer, max_tokens=chat.limit, split="validation")
    objective = Reinforcing(
        run.base, tokenizer, options.adapter, RANK, recipe=name, rewards=rewards, method=method,
        ends=chat.ends | {tokenizer.eos_token_id}, choices=options.choices, max_new_tokens=options.max_new_tokens,
        temperature=options.temperature, held=answered,
    )  # fmt: skip
    return Prepared(Task(run, chat.limit, objective, train, held.sample(HELD, run.seed)), tokenizer, objective)


def planned(run: Run, options: ReinforceOptions) -> Plan:
    """How the prompts are gone through, but for what is settled by measuring."""
    return Plan(
        epochs=options.epochs, min_steps=1, batch_size=options.batch_size, weight_decay=0.0, patience=EVER,
        evaluations=max(1, round(LOOKS / options.epochs)), seed=run.seed,
    )  # fmt: skip


def _rehearsal(task: Task, options: ReinforceOptions) -> Task:
    """The task with answers of the longest kind in place of drawn ones, by which number formats are timed."""
    prompts, zeros = task.train, np.zeros(options.max_new_tokens)
    tokens = [[*ids, *([ids[-1]] * options.max_new_tokens)] for ids in prompts.tokens]
    targets = [Drawn(np.arange(len(ids)) >= len(ids) - options.max_new_tokens, zeros, zeros, 0.0) for ids in tokens]
    return replace(task, train=Examples(tokens, targets, prompts.weights, prompts.learnt, prompts.ids, prompts.groups))


def _retained(knowledge: Knowledge, model: Any) -> Mapping[str, Any]:
    """What is left of what the base knew; the divergence in the loss is all that holds it."""
    about: dict[str, Any] = {"asked": "none", "remedy": "none", "alpha": 1.0, "suites": knowledge.suites(model)}
    if knowledge.general.texts:
        standing = knowledge.standing(model)
        about |= {"kept": standing.kept.to_dict(), "texts": len(knowledge.before), "origin": knowledge.general.origin}
    return {**about, "words": retention_words(about)}
