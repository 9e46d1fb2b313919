"""Answers of a file in their stored form; those that spell an option in other capitals or spaces are taken for it, if that is wished."""

from __future__ import annotations

from collections import Counter
from typing import Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.project.importing.report import ImportReport
from preceptor.questions import kinds
from preceptor.questions.label_spelling import fold_answer

_HINT = "--fold takes answers that differ only in capitals or spaces for the option"


class AnswerParser:
    """Of one file. fold: other spellings are taken for the option. preview: they are only counted, as if they were."""

    def __init__(self, *, fold: bool, preview: bool) -> None:
        self.fold, self.preview = fold, preview
        self._folded: Counter[tuple[str, str, str]] = Counter()

    def parse(self, question: Question, answer: Any) -> tuple[Any, Any]:
        """Return the stored form, and the answer as it was written where it was folded, else None. UserError for no answer."""
        kind = kinds.get(question.kind)
        try:
            return kind.parse(question, answer), None
        except UserError as error:
            option = fold_answer(question, answer)
            if option == answer:
                raise
            parsed = kind.parse(question, option)
            if not (self.fold or self.preview):
                raise UserError(error.message, f"{error.hint}; {_HINT}", where=error.where) from None
        self._count(question, option, answer)
        return parsed, answer

    def report(self, report: ImportReport) -> None:
        """Note what was folded, or would have to be."""
        report.folded = [
            {"question": question, "option": option, "written": written, "count": count}
            for (question, option, written), count in self._folded.most_common()
        ]
        if report.folded and not self.fold:
            report.warnings.append(f"{self._folded.total():,} answers differ from an option only in capitals or spaces; {_HINT}")

    def _count(self, question: Question, option: Any, written: Any) -> None:
        for one, other in zip(_labels(option), _labels(written), strict=True):
            if one != other:
                self._folded[question.name, one, other] += 1


def _labels(answer: Any) -> list[str]:
    return [answer] if isinstance(answer, str) else list(answer)
