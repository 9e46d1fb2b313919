"""An expert's correction of what the model said: what stands, and what is learnt of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from preceptor.models.template import Unfit, render, turns_of
from preceptor.recipes.examples import Examples, masked

Learnt = Literal["human", "whole"]


@dataclass(frozen=True, slots=True)
class Correction:
    """round: the one in which it was asked for. answer: what should have been said, equal to `draft` where that was right."""

    id: str
    content: Mapping[str, Any]
    group: str
    round: int
    draft: str
    answer: str

    @property
    def stands(self) -> int:
        """Characters of the draft up to the first wrong one, with which the answer begins too."""
        draft, answer = self.draft.strip(), self.answer.strip()
        most = min(len(draft), len(answer))
        return next((at for at in range(most) if draft[at] != answer[at]), most)

    @property
    def right(self) -> bool:
        """Whether the expert left the draft as it was."""
        return self.draft.strip() == self.answer.strip()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def to_examples(corrections: Sequence[Correction], tokenizer: Any, *, max_tokens: int, learnt: Learnt) -> Examples:
    """Corrections as rows, each of weight 1; those that can't be trained on are counted by reason.

    human: prompt and what stands of the draft are read; learnt is what the expert wrote after it and that the answer then ends, of
    an answer that was right only that it ends. whole: what stands is learnt too, as what the expert would have said.
    """
    fit, reasons = [], list[str]()
    for each in corrections:
        try:
            standing = each.stands if learnt == "human" else 0
            fit.append((each, render(tokenizer, turns_of(each.content, each.answer.strip()), max_tokens, standing=standing)))
        except Unfit as refused:
            reasons.append(refused.reason)
    ids = [f"round-{each.round}:{each.id}" for each, _ in fit]
    return masked(ids, [each.group for each, _ in fit], [cut for _, cut in fit], [1.0] * len(fit), Counter(reasons))
