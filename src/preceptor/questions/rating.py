"""Define the kind `rating`: a point on a scale of equally spaced numbers.

A rating often matters only by its class (negative, neutral, positive). `cuts` divide the scale into such classes and `labels` name them;
without cuts each point of the scale is its own class.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import isfinite
from numbers import Real
from typing import Any

from preceptor.errors import UserError
from preceptor.questions.field_validation import check_setting_names, single_value
from preceptor.questions.kind import QuestionKind, kinds
from preceptor.types import Question


class RatingKind(QuestionKind):
    """A question whose answer is a point of the scale in `options`, for example [1, 2, 3, 4, 5].

    Settings: `cuts` (rising numbers inside the scale) and `labels` (one more than cuts) make classes of the mean rating; a mean exactly on
    a cut belongs to the class nearer the middle of the scale. `panel` is the number of annotators whose mean counts as the truth; without
    it, it is the mean of everybody.
    """

    level = "interval"
    aggregator = "rating"
    needs_item = False

    def define(self, question: Question) -> Question:
        scale = question.options
        if len(scale) < 2 or not all(_is_number(point) for point in scale):
            raise UserError("a rating needs a scale of at least two numbers", "options = [1, 2, 3, 4, 5]")
        steps = {round(after - before, 9) for before, after in pairwise(scale)}
        if len(steps) > 1 or min(steps) <= 0:
            raise UserError(f"a rating scale rises in equal steps, not {list(scale)!r}", "options = [1, 2, 3, 4, 5]")
        return replace(question, settings=self._settings(question))

    def parse(self, question: Question, answer: Any) -> int | float:
        number = _parse_number(answer)
        for point in question.options:
            if number == point:
                return point  # type: ignore[no-any-return]
        low, high = question.options[0], question.options[-1]
        raise UserError(f"{answer!r} is not on the scale of {question.name!r}", f"the scale goes from {low} to {high}")

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        return single_value(fields, "answer")

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        pass

    def vote(self, question: Question, answer: Any) -> Hashable:
        number: Hashable = answer
        return number

    def to_consensus_answer(self, question: Question, answer: Any) -> Any:
        cuts, middle = question.settings.get("cuts", ()), (question.options[0] + question.options[-1]) / 2
        # a point exactly on a cut belongs to the class nearer the middle
        return question.settings["labels"][sum(answer >= cut if cut <= middle else answer > cut for cut in cuts)] if cuts else answer

    def possible_votes(self, question: Question) -> tuple[Any, ...]:
        return question.options

    def answers(self, question: Question) -> tuple[Any, ...]:
        return tuple(question.settings.get("labels", question.options))

    def parse_consensus(self, question: Question, answer: Any) -> Any:
        classes = self.answers(question)
        if answer in classes:
            return answer
        raise UserError(f"{answer!r} is not a class of {question.name!r}", f"classes: {', '.join(map(str, classes))}")

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        return {"scale": question.options, **question.settings}

    @staticmethod
    def _settings(question: Question) -> dict[str, Any]:
        settings = dict(question.settings)
        check_setting_names(question, "cuts", "labels", "panel")
        if ("cuts" in settings) != ("labels" in settings):
            raise UserError("cuts and labels go together", 'cuts = [-0.5, 0.5], labels = ["negative", "neutral", "positive"]')
        if "cuts" in settings:
            _check_classes(question.options, settings["cuts"], settings["labels"])
        panel = settings.get("panel")
        if panel is not None and not (isinstance(panel, int) and panel >= 1):
            raise UserError(f"panel is a number of people, not {panel!r}")
        return settings


def _check_classes(scale: tuple[Any, ...], cuts: Any, labels: Any) -> None:
    if not isinstance(cuts, list | tuple) or not cuts or not all(_is_number(cut) for cut in cuts) or list(cuts) != sorted(set(cuts)):
        raise UserError(f"cuts must be rising numbers, not {cuts!r}")
    if not scale[0] < cuts[0] or not cuts[-1] < scale[-1]:
        raise UserError(f"cuts must lie inside the scale from {scale[0]} to {scale[-1]}, not {cuts!r}")
    if not isinstance(labels, list | tuple) or len(labels) != len(cuts) + 1 or len(set(labels)) < len(labels):
        raise UserError(f"{len(cuts)} cuts need {len(cuts) + 1} different labels, not {labels!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _parse_number(answer: Any) -> Any:
    if isinstance(answer, str):
        try:
            return float(answer)
        except ValueError:
            return None
    if isinstance(answer, bool):
        return None
    return answer if isinstance(answer, Real) else None  # NumPy's and pandas' numbers too


kinds.register("rating")(RatingKind())
