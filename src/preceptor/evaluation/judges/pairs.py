"""A judge that says which of two answers is better, asked about each pair in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.domain import digest_of
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.judges.choosing import Chooser
from preceptor.evaluation.judges.judge import Case
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

    @property
    def turned(self) -> PairCase:
        """The same pair in the other order."""
        return PairCase(self.prompt, self.second, self.first)

    @property
    def case(self) -> Case:
        """As a judge of cases takes it: the first answer, beside the second, after the prompt."""
        return Case(self.first, (self.second,), self.prompt)


class PairJudge:
    """Its score of a case, made by `PairCase.case`, is how probable it is that the first answer is better, in that one order.

    See `Judge`; frozen by question, form of the prompt, and model.
    """

    def __init__(self, chooser: Chooser, question: str = QUESTION) -> None:
        if not question.strip():
            raise UserError("a judge needs a question", f'for example "{QUESTION}"')
        self.question, self._chooser = question.strip(), chooser
        self.name = chooser.name
        self.digest = digest_of(["pair", FORM, OPTIONS, self.question, chooser.digest])

    def scores(self, cases: Sequence[Case]) -> FloatArray:
        """See `Judge`; in one order: `verdicts` asks both."""
        return self._chooser.choose([self.prompt(case) for case in cases], OPTIONS)[:, 0]

    def verdicts(self, pairs: Sequence[PairCase]) -> BothOrders:
        """What it says of each pair, in both orders."""
        both = self.scores([pair.case for pair in pairs] + [pair.turned.case for pair in pairs])
        return BothOrders(both[: len(pairs)], 1 - both[len(pairs) :])

    @property
    def record(self) -> dict[str, Any]:
        """What a report keeps, so that the same can be asked again."""
        about = {"name": self.name, "digest": self.digest, "question": self.question, "form": FORM, "options": list(OPTIONS)}
        return {**about, "model": self._chooser.digest, "chooses": self._chooser.how}

    def prompt(self, case: Case) -> str:
        """What the model reads of a pair."""
        return FORM.format(question=self.question, prompt=case.context, first=case.text, second=case.sources[0])
