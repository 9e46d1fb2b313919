"""The Trainer's loop over rounds: at each step the policy answers some prompts, is rewarded, and learns from these answers once.

What is drawn depends on the run's seed and the step alone, so that a run that was killed goes on to the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.formats.checksums import read_json
from preceptor.models.saving import discard
from preceptor.recipes.consulting import Written
from preceptor.recipes.objective import Validated
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.reinforcing.asking import Asking
from preceptor.recipes.reinforcing.guard import Guard, Stop, distinct
from preceptor.recipes.reinforcing.guard import Round as Seen
from preceptor.recipes.reinforcing.objective import COARSE, GAP, Reinforcing
from preceptor.recipes.reinforcing.rounds import Answers, Round, to_round
from preceptor.recipes.reinforcing.samples import FOLDER, keep_samples
from preceptor.recipes.rewarding.rewards import Scored
from preceptor.recipes.room import Room
from preceptor.recipes.trainer import RecipeTrainer, step_of

ROOM = 2048  # tokens that go through the model at once on the way back
FLAT = 12  # rounds in a row that teach nothing, after which there is nothing left to learn
_STEPS = 2**20  # more than a run has: seeds of rounds and of looks never meet


@dataclass
class Tally:
    """What the rounds so far came to. flat: how many in a row taught nothing; taught: how many groups differed, of `groups`."""

    rounds: int = 0
    groups: int = 0
    equal: int = 0
    flat: int = 0

    @property
    def taught(self) -> int:
        return self.groups - self.equal

    def add(self, round_: Round) -> None:
        self.rounds, self.groups, self.equal = self.rounds + 1, self.groups + round_.groups, self.equal + round_.equal
        self.flat = self.flat + 1 if round_.equal == round_.groups else 0


@dataclass
class Heard:
    """Training answers since the last look, about which people may be asked."""

    answers: list[Answers] = field(default_factory=list)

    def scored(self) -> Scored:
        found = [each.scored for each in self.answers]
        parts = {name: np.concatenate([each.by_part[name] for each in found]) for name in found[0].by_part}
        return Scored(np.concatenate([each.total for each in found]), parts, np.concatenate([each.doubt for each in found]))

    def samples(self) -> list[Any]:
        return [sample for each in self.answers for sample in each.samples]


class ReinforcingTrainer(RecipeTrainer):
    """Trains a policy; its validation rows are held-out prompts, and what it sees of them is its reward."""

    objective: Reinforcing

    def __init__(self, task: Task, plan: Plan, stage: str, *, most_kl: float | None = None) -> None:
        super().__init__(task, plan, stage)
        self.run, self.prompts, self.room = task.run, task.train, Room(task.run.folder, ROOM)
        looks = 2 + plan.steps(len(self.batches)) // self.args.eval_steps
        long = any(name.startswith("length>=") for name in self.objective.rewards.names)
        self.guard = Guard(task.run.folder / "looks.json", looks, most_kl, may_lengthen=long)
        self.stop: Stop | None = None
        ask, path = task.run.ask, task.run.folder / "in-doubt.json"
        self.asking = None if ask is None else Asking(ask, path, task.run.measure)
        self.tally, self.heard = Tally(), Heard()

    def get_train_dataloader(self) -> Any:
        loader = DataLoader(self.prompts, batch_sampler=self.batches, collate_fn=lambda rows: {"rows": torch.as_tensor(rows)})
        return self.accelerator.prepare_data_loader(loader)

    def train(self, *arguments: Any, **named: Any) -> Any:
        """With a look at the base first, and people's answers taken up where the run goes on."""
        if self.state.global_step == 0:
            self.validate()
        elif self.asking is not None:
            self.asking.before(self.state.global_step)
        return super().train(*arguments, **named)

    def take_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """A round: answers are drawn and rewarded, and their loss goes through the model in pieces."""
        round_ = self._play(inputs["rows"].tolist())
        if not len(round_.rows):
            self._taken, found = "", torch.zeros((), device=self.args.device)  # no gradient: the weights stay
            self.watch.count(round_.rows, [], 0.0, self.room.tokens)
            return found
        self.train_rows, self.lengths = round_.rows, round_.rows.lengths
        return super().take_step(model, self.objective.batch(round_.rows, range(len(round_.rows))), num_items_in_batch)

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The answers' losses, whose weights make them the round's."""
        with self.accelerator.autocast():
            loss = self.objective.loss(model, inputs)
        return (loss, None) if return_outputs else loss

    def validate(self) -> Validated:
        """One answer to each held-out prompt, drawn by the same numbers at each look; the guard sees it, and may end the training.

        The weights that are kept are those that the judge of human preference likes best, or without one the reward.
        """
        step, held = self.state.global_step, self.validation
        with self.accelerator.autocast():
            seen = self.objective.answers(self.model, held, choices=1, seed=self.run.seed * _STEPS)
        judged = self._judged(seen)
        texts = [sample.text for sample in seen.samples]
        self.stop = self.guard.look(Seen(step, seen.scored.total, seen.lengths, distinct(texts), float(seen.kl.mean()), measured=judged))
        keep_samples(self.run.folder, step, seen)
        if self.stop is not None:
            self.control.should_training_stop = True
        elif self.asking is not None and self.heard.answers and step < self.state.max_steps:
            self.asking.after(step, self.heard.samples(), self.heard.scored())
        self.heard = Heard()
        worth = seen.scored.total if judged is None else np.full(len(held), judged.value)
        figures = {**seen.figures(), **({} if judged is None else {"judge": judged.value})}
        return Validated(-worth, np.ones(len(held)), figures)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Not of what the guard refuses. What people have answered by now counts from here on."""
        if self.stop is not None:
            return
        super()._save_checkpoint(model, trial)
        if self.asking is not None and self.state.global_step < self.state.max_steps:
            self.asking.before(self.state.global_step)

    def keep_beside(self, checkpoint: Path) -> None:
        super().keep_beside(checkpoint)
        (checkpoint / "tally.json").write_text(json.dumps(vars(self.tally)))

    def take_up(self, checkpoint: Path) -> None:
        super().take_up(checkpoint)
        self.tally = Tally(**read_json(checkpoint / "tally.json"))

    def take_best(self) -> int:
        """The best weights; after the guard's stop those that it calls the last good ones."""
        if self.stop is not None:
            kept = sorted(self.checkpoints.glob("checkpoint-*"), key=step_of)
            good = [folder for folder in kept if step_of(folder) <= self.stop.last_good]
            if not good:
                raise nothing_kept(self.stop, self.run.folder / FOLDER)
            for folder in kept:
                if folder != good[-1]:
                    discard(folder)
        return super().take_best()

    def _play(self, rows: Sequence[int]) -> Round:
        step, objective = self.state.global_step, self.objective
        with self.accelerator.autocast():
            answers = objective.answers(
                self.model, self.prompts.take(rows), choices=objective.choices, seed=self.run.seed * _STEPS + 1 + step
            )
            round_ = to_round(answers, self._earned(answers), objective.method, objective.max_new_tokens)
            if not self.tally.rounds and len(round_.rows):
                objective.check_drawn(self.model, round_.rows, COARSE if self.plan.bfloat16 else GAP)
        self.tally.add(round_)
        self._check_taught(round_)
        figures = {**answers.figures(), "equal_groups": round_.equal / round_.groups}
        self.watch.figures |= figures
        self.watch.log.write(step + 1, {"round": figures})
        return round_

    def _earned(self, answers: Answers) -> FloatArray:
        if self.asking is None:
            return answers.scored.total
        self.heard.answers.append(answers)
        return self.asking.adjust(answers.samples, answers.scored)

    def _check_taught(self, round_: Round) -> None:
        """UserError where no round yet taught anything; where earlier ones did, it is over once `FLAT` in a row didn't."""
        if self.tally.flat < min(FLAT, self.state.max_steps):
            return
        if not self.tally.taught:
            raise nothing_taught(self.tally, round_)
        self.control.should_training_stop = self.control.should_evaluate = self.control.should_save = True

    def _judged(self, seen: Answers) -> Estimate | None:
        if self.run.measure is None:
            return None
        written = [Written(sample.id, sample.content, sample.text) for sample in seen.samples]
        return next(iter(self.run.measure(written).values()), None)


def nothing_kept(stop: Stop, samples: Path) -> UserError:
    """What to say where the guard stopped a run that never was better than its base. samples: where its answers lie."""
    mend = "take a smaller learning_rate, a larger beta or a larger most_kl" if stop.sign == "budget" else "mend the reward"
    return UserError(
        f"no look before the guard stopped the run was better than the base, so that no model is kept: {stop.words}",
        f"Its answers at each look lie in {samples}: read them, and {mend}.",
    )


def nothing_taught(tally: Tally, round_: Round) -> UserError:
    """What to say of a reward that never differs between the answers to a prompt."""
    total = round_.answers.scored.total
    same = f"the reward is {total[0]:g} for every answer" if np.ptp(total) == 0 else "all answers to one prompt earn the same"
    return UserError(
        f"{same}: in {tally.rounds:,} rounds of {tally.groups:,} groups there was nothing to learn from",
        "begin with a model that sometimes does it right (sft), raise the temperature or choices, or reward steps on the way",
    )
