"""What `distil` teaches: to say at each place what the teacher would, on people's answers and on the student's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from preceptor.models.completion import completion_loss, learnt_places, loss_at_places, padded
from preceptor.models.rollouts import sample
from preceptor.recipes.completing import WATCHED, Completing
from preceptor.recipes.distilling.divergences import generalised_jsd
from preceptor.recipes.distilling.further import answered_by_teacher
from preceptor.recipes.distilling.teachers import Teacher
from preceptor.recipes.examples import Examples
from preceptor.recipes.objective import Validated
from preceptor.recipes.teaching import lessons, mean_divergence


@dataclass(frozen=True)
class Following(Completing):
    """(1 − labels)·JSD_β(teacher, student) + labels·(−log p of people's answers); with probability `own` a batch's answers are drawn
    from the student as it is.

    Coin and seed of a draw come from torch's own numbers, which a checkpoint holds: a resumed run draws the same. As each of a
    row's own places counts n/m, where people's answer has n tokens and the student's m, a row weighs the same either way.
    ends: tokens that end an answer. most: how many tokens one of the student's may have. seen: validation rows with what the teacher says.
    """

    recipe: str = "distil"
    teacher: Teacher | None = None
    beta: float = 0.5
    own: float = 0.5
    labels: float = 0.0
    ends: frozenset[int] = frozenset()
    most: int = 1
    max_tokens: int = 1
    seen: Examples | None = None

    @property
    def ladder(self) -> tuple[str, ...]:
        """Only what changes no rows: general texts would be answered anew as well, and the teacher followed on them."""
        return ("slower", "l2sp")

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        labels = self.labels * completion_loss(model, self._head(model), inputs) if self.labels else 0.0
        given = self.answered(model, inputs) if torch.rand(()) < self.own else inputs
        return labels + (1 - self.labels) * self.apart(model, given)

    def answered(self, model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with the student's own answers to its prompts, which are what is learnt of it."""
        rows = [(ids, mask, asked(mask)) for ids, mask in zip(*unpadded(inputs), strict=True)]
        prompts = [ids[:prompt] for ids, _, prompt in rows]
        room = min(self.most, self.max_tokens - max(map(len, prompts)))
        seed = int(torch.randint(2**31, ()))
        drawn = sample(model, self.tokenizer, prompts, max_tokens=room, seed=seed, ends=self.ends)
        said = [answer.tokens for (answer,) in drawn]
        tokens = [[*prompt, *answer] for prompt, answer in zip(prompts, said, strict=True)]
        learnt = [[False] * len(prompt) + [True] * len(answer) for prompt, answer in zip(prompts, said, strict=True)]
        share = torch.tensor([sum(mask) / len(answer) for (_, mask, _), answer in zip(rows, said, strict=True)])
        batch = {name: each.to(model.device) for name, each in padded(tokens, learnt, self.pad_id).items()}
        return {**batch, "weights": inputs["weights"] * share.to(model.device)}

    def apart(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Weighted sum over the learnt places of how far the student is from the teacher, a scalar with gradients."""
        assert self.teacher is not None
        taught = self.teacher.log_probabilities(*unpadded(inputs)).to(model.device)
        weights, width = learnt_places(inputs)[2], self.teacher.width
        head = replace(self._head(model), trunk=None)  # whose states would be kept, of answers that never come again

        def loss(logits: Any, part: slice) -> Any:
            said = torch.log_softmax(logits[:, :width].float(), dim=-1)
            return (generalised_jsd(taught[part], said, self.beta) * weights[part]).sum()

        return loss_at_places(model, head, inputs, loss)

    def validate(self, model: Any, examples: Examples) -> Validated:
        """The loss on people's answers, which the student is for, and how far it is from its teacher on a few of them."""
        found = super().validate(model, examples)
        if self.seen is None:
            return found
        apart = mean_divergence(model, self._head(model), self.seen, self.pad_id)
        return replace(found, figures={**found.figures, "kl_to_teacher": apart})

    def seeing(self, rows: Examples) -> Following:
        """The same, which also tells at validation how far it is from its teacher on some of these rows."""
        assert self.teacher is not None
        few = rows.take(range(min(WATCHED, len(rows))))
        said = lessons(self.teacher.model, self.teacher.head, few.tokens, few.targets, self.pad_id)
        return replace(self, seen=replace(few, lessons=said))

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        """With what was followed, in words."""
        told = {0.0: "KL(teacher to student)", 1.0: "KL(student to teacher)"}.get(
            self.beta, f"the Jensen-Shannon divergence, beta {self.beta:g}"
        )
        mixed = f"; {self.labels:.0%} of the loss was people's answers" if self.labels else ""
        said = (
            f"The teacher was followed by {told}, in about {self.own:.0%} of the batches on answers that the student wrote itself{mixed}."
        )
        more = answered_by_teacher(examples)
        written = [f"{more:,} of the {len(examples):,} rows were answered by the teacher, not by people."] if more else []
        return [said, *written, *super().notes(examples, max_tokens)]


def unpadded(inputs: Mapping[str, Any]) -> tuple[list[list[int]], list[list[bool]]]:
    """A batch's rows as lists: tokens, and which of them are learnt."""
    lengths = inputs["attention_mask"].sum(dim=1).tolist()

    def cut(rows: Any) -> list[Any]:
        return [row[:length] for row, length in zip(rows.tolist(), lengths, strict=True)]

    return cut(inputs["input_ids"]), cut(inputs["supervised"])


def asked(learnt: Sequence[bool]) -> int:
    """How many tokens stand before a row's last answer, with which it ends."""
    return next(at for at in range(len(learnt), 0, -1) if not learnt[at - 1])
