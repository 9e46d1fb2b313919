"""The rounds of DAgger (Ross, Gordon, Bagnell 2011): the model answers, experts correct, all that they said is learnt together.

Round 0 is behaviour cloning: experts write, the model watches. From then on the model writes alone, and what experts correct are
places that its own mistakes led to. Every round begins at the base and learns the rows of all rounds, each correction of weight 1.
What a round saw, asked and was told is kept in the run's folder as it comes, so that a run goes on where it stopped or waited.
"""

from __future__ import annotations

import gc
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from preceptor.domain import Estimate
from preceptor.domain.items import text_of
from preceptor.models.adapters import inner
from preceptor.models.chat import ChatModel
from preceptor.recipes.consulting import Asked, Waiting
from preceptor.recipes.folder import remembered
from preceptor.recipes.imitating.choosing import choose
from preceptor.recipes.imitating.corrections import Correction, Learnt, to_examples
from preceptor.recipes.imitating.drafts import Draft, Prompt, by_hash, drafts
from preceptor.recipes.imitating.regret import answered_exactly, left_standing, point
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.recipe import Progress, Row, Run
from preceptor.recipes.trainer import fit
from preceptor.statistics import compare_paired

ENOUGH = 0.9  # of a round's answers, before the next begins; those that come later are learnt in later rounds
FOLDER = "rounds"


@dataclass(frozen=True)
class Wish:
    """How much is asked of experts. budget: answers a round; pool: prompts that the model answers, of which those are chosen; samples:
    further answers to each, by which it may contradict itself."""

    budget: int
    pool: int
    samples: int
    learnt: Learnt


@dataclass
class Rounds:
    """One run's rounds. task: the rows that experts wrote by themselves; looks, told: what was seen of the model and what was left
    standing, by round; prompts: what the model may be asked."""

    task: Task
    plan: Plan
    tokenizer: Any
    wish: Wish
    looks: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    prompts: Sequence[Prompt] = field(default_factory=list)

    def hold(self, count: int) -> Task:
        """Go through so many rounds, or until no prompt is left; the task with all that experts said. Waiting where a round's answers
        aren't there yet."""
        self.prompts = prompts_of(self.task.run) if count else []
        for number in range(1, count + 1):
            if not self._ask(number):
                break
        return self._aggregated()

    def close(self, model: Any) -> None:
        """The last point of the curve, of the finished model."""
        self.folder.mkdir(exist_ok=True)
        self.looks.append(remembered(self.folder / "last.json", partial(self._look, model)))

    @property
    def curve(self) -> list[dict[str, Any]]:
        """A point for each round, and that of the finished model."""
        return [look["point"] for look in self.looks]

    @property
    def change(self) -> Estimate:
        """Of the validation loss from round 0 to the finished model, in nats a token, row by row; below 0 is better."""
        return compare_paired(
            self.looks[-1]["losses"], self.looks[0]["losses"], clusters=self.task.validation.groups, within=(0.0, math.inf)
        )

    @property
    def folder(self) -> Path:
        return self.task.run.folder / FOLDER

    def _ask(self, number: int) -> bool:
        """One round: what the model says, what of it is asked about, what experts say instead. Whether there was anything to ask about."""
        seen = remembered(self._made(number) / "drafts.json", partial(self._act, number))
        shutil.rmtree(self._made(number) / "checkpoints", ignore_errors=True)  # nothing is asked of those weights any more
        if not seen["asked"]:
            return False
        self.looks.append(seen["look"])
        answered = remembered(self._made(number) / "corrections.json", partial(self._consult, number))
        corrections = [Correction(**each) for each in answered]
        self.corrections += corrections
        self.told.append({**left_standing(corrections), "items": [each.id for each in corrections]})
        return True

    def _act(self, number: int) -> dict[str, Any]:
        """Train on all that is known, answer prompts, choose whom to ask about."""
        run = replace(self.task.run, folder=self._made(number))
        model = fit(replace(self._aggregated(), run=run), self.plan, self.tokenizer).model
        chat = self._chat(model)
        prompts = by_hash([prompt for prompt in self.prompts if prompt.id not in self._asked_before(number)], self._seed(number))
        some = prompts[: self.wish.pool]

        def tell(done: int) -> None:
            self.task.run.progress(Progress(f"round {number}: the model answers", done, len(some) * (1 + bool(self.wish.samples))))

        said = drafts(chat, some, max_tokens=self.longest, samples=self.wish.samples, seed=self._seed(number), progress=tell)
        found = {"look": self._look(model), "asked": [draft.to_dict() for draft in choose(said, self.wish.budget, self.corrections)]}
        del model, chat
        gc.collect()
        return found

    def _consult(self, number: int) -> list[dict[str, Any]]:
        """What experts say by now of this round, and of earlier ones what came late. Waiting when that isn't enough."""
        assert self.task.run.ask is not None
        waiting = {f"round-{at}:{draft.id}": (at, draft) for at in range(1, number + 1) for draft in self._asked(at)}
        for each in self.corrections:
            waiting.pop(f"round-{each.round}:{each.id}", None)
        said = self.task.run.ask("correct", [_asked(id_, draft) for id_, (_, draft) in waiting.items()])
        mine = [id_ for id_, (at, _) in waiting.items() if at == number]
        there = sum(id_ in said for id_ in mine)
        if there < math.ceil(ENOUGH * len(mine)):
            raise Waiting(
                f"{len(mine) - there:,} of {len(mine):,} answers of round {number} wait for an expert's correction",
                "when they are there, the same command goes on from here",
            )
        return [
            Correction(draft.id, draft.content, draft.group, at, draft.text, str(said[id_])).to_dict()
            for id_, (at, draft) in waiting.items()
            if id_ in said
        ]

    def _aggregated(self) -> Task:
        if not self.corrections:
            return self.task
        more = to_examples(self.corrections, self.tokenizer, max_tokens=self.task.max_tokens, learnt=self.wish.learnt)
        left_out = {**self.task.train.left_out}
        for reason, count in more.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
        return replace(self.task, train=replace(self.task.train.followed_by(more), left_out=left_out))

    def _look(self, model: Any) -> dict[str, Any]:
        """A point of the curve, and what each validation row adds to the loss."""
        task, seed = self.task, self.task.run.seed
        exact = answered_exactly(self._chat(model), self._validation, max_tokens=self.longest, seed=seed)
        seen = task.objective.validate(model, task.validation)
        at = point(len(self.told), len(self.corrections), seen, task.validation.groups, exact)
        return {"point": at, "losses": seen.shares.tolist()}

    def _chat(self, model: Any) -> ChatModel:
        return ChatModel(self.task.run.base, inner(model).eval())

    @cached_property
    def _validation(self) -> Sequence[Row]:
        return list(self.task.run.snapshot.rows("validation"))

    @cached_property
    def longest(self) -> int:
        """Tokens that an answer may have: as many as the longest that experts wrote, and a quarter more."""
        return math.ceil(1.25 * float(self.task.train.learnt.max()))

    def _asked(self, number: int) -> list[Draft]:
        kept = remembered(self._made(number) / "drafts.json", partial(self._act, number))
        return [Draft(**each) for each in kept["asked"]]

    def _asked_before(self, number: int) -> set[str]:
        return {draft.id for at in range(1, number) for draft in self._asked(at)}

    def _made(self, number: int) -> Path:
        folder = self.folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _seed(self, number: int) -> int:
        return self.task.run.seed * 1000 + number


def prompts_of(run: Run) -> Sequence[Prompt]:
    """Items that nobody has answered; where there are none, the training prompts."""
    found = list(run.unlabelled()) if run.unlabelled else []
    return found or list(run.snapshot.rows("train"))


def _asked(id_: str, draft: Draft) -> Asked:
    """A draft as people see it."""
    content = dict(draft.content)
    if "prompt" not in content and "messages" not in content:
        content = {"prompt": text_of(draft.content)}
    return Asked(id_, {**content, "responses": [draft.text]}, draft.value)
