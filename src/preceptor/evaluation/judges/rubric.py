"""A judge that answers a question about each text with yes or no, in one prompt, by whatever model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preceptor.domain import digest_of
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.judges.choosing import Chooser
from preceptor.evaluation.judges.judge import Case

OPTIONS = ("Yes", "No")
FORM = """Read the text and answer one question about it with one word: Yes or No.

Question: {question}

{before}<text>
{text}
</text>

Question: {question}
Answer with one word, Yes or No."""


class RubricJudge:
    """Scores are the probability of "Yes". See `Judge`; the digest changes with the question, the form of the prompt and the model."""

    def __init__(self, question: str, chooser: Chooser) -> None:
        if not question.strip():
            raise UserError("a judge needs a question that yes or no answers", 'for example "Is everything in it supported by the source?"')
        self.question, self._chooser = question.strip(), chooser
        self.name = chooser.name
        self.digest = digest_of(["rubric", FORM, OPTIONS, self.question, chooser.digest])

    def scores(self, cases: Sequence[Case]) -> FloatArray:
        """See `Judge`."""
        return self._chooser.choose([self.prompt(case) for case in cases], OPTIONS)[:, 0]

    @property
    def record(self) -> dict[str, Any]:
        """What a report keeps, so that the same can be asked again."""
        about = {"name": self.name, "digest": self.digest, "question": self.question, "form": FORM, "options": list(OPTIONS)}
        return {**about, "model": self._chooser.digest, "chooses": self._chooser.how}

    def prompt(self, case: Case) -> str:
        """What the model reads of a case."""
        parts = [f"<conversation>\n{case.context}\n</conversation>\n\n"] if case.context else []
        parts += [f"<source {number}>\n{source}\n</source {number}>\n\n" for number, source in enumerate(case.sources, start=1)]
        return FORM.format(question=self.question, before="".join(parts), text=case.text)
