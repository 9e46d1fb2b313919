"""A judge that says which of two answers is better, asked about each pair in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.evaluation.judges.choosing import Chooser
from preceptor.evaluation.judges.orders import BothOrders

OPTIONS = ("A", "B")
QUESTION = "Which answer is better?"
FORM = """Two answers to the same request are shown. {question} The order in which they stand says nothing.

<request>
{prompt}
</request>

<answer A>
{first}
</answer A>

<answer B>
{second}
</answer B>

{question} Answer with one letter, A or B."""


@dataclass(frozen=True, slots=True)
class PairCase:
    """Two answers to a prompt."""

    prompt: str
    first: str
    second: str


class PairJudge:
    """Frozen by its digest as a `Judge` is: question, form of the prompt, model."""

    def __init__(self, chooser: Chooser, question: str = QUESTION) -> None:
        if not question.strip():
            raise UserError("a judge needs a question", f'for example "{QUESTION}"')
        self.question, self._chooser = question.strip(), chooser
        self.name = chooser.name
        self.digest = digest_of(["pair", FORM, OPTIONS, self.question, chooser.digest])

    def verdicts(self, cases: Sequence[PairCase]) -> BothOrders:
        """What it says of each pair, in both orders."""
        prompts = [self.prompt(case) for case in cases] + [self.prompt(PairCase(case.prompt, case.second, case.first)) for case in cases]
        shares = self._chooser.choose(prompts, OPTIONS)
        return BothOrders(shares[: len(cases), 0], shares[len(cases) :, 1])

    def prompt(self, case: PairCase) -> str:
        """What the model reads of a pair."""
        return FORM.format(question=self.question, prompt=case.prompt, first=case.first, second=case.second)
