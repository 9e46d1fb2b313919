"""Check the contract of question kinds, for plug-in authors as for the built-in ones.

    @pytest.mark.parametrize("check", KIND_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(MyKind(), question, answers)

A check takes a kind, a question that the kind defined, and some different answers to it; it raises AssertionError with what went wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from preceptor.consensus import Judgments, aggregate
from preceptor.errors import UserError
from preceptor.questions import QuestionKind
from preceptor.testing.aggregator_contracts import TOLERANCE
from preceptor.types import Consensus, Question

INVALID_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**30, "", " ", "\0", "\ud800", "[", "null", "<script>", "x" * 10_000,
    [], [[]], [None], [{}], {}, {"": None}, {"winner": []}, {"order": [0, 0]}, {"order": "0,1,x"}, {"places": [1, 1, 2]}, {"text": 3},
    [{"start": 3, "end": 1, "label": "x"}], [{"start": -1, "end": 1}], [{"start": "0", "end": []}], [{"claim": 0, "verdict": []}],
    [{"claim": {}, "verdict": "supported"}], [[[[[[]]]]]],
)  # fmt: skip
FORM_FIELDS = (
    "answer",
    "winner",
    "order",
    "reasons",
    "place.0",
    "place.x",
    "shown",
    "text",
    "from",
    "spans",
    "claims",
    "verdict.0",
    "source.0",
)

KindCheck = Callable[[QuestionKind, Question, Sequence[Any]], None]


def parsed_twice_is_parsed_once(kind: QuestionKind, question: Question, answers: Sequence[Any]) -> None:
    """Check that `parse` returns a JSON value, and accepts it unchanged."""
    for answer in answers:
        kept = kind.parse(question, answer)
        read = json.loads(json.dumps(kept, allow_nan=False))
        assert read == kept, f"{kept!r} comes back from JSON as {read!r}"
        assert kind.parse(question, read) == kept, f"{kept!r} is parsed into something else"


def votes_are_hashable(kind: QuestionKind, question: Question, answers: Sequence[Any]) -> None:
    """Check that a vote is hashable, among the possible votes where they are listed, and the same for the same answer."""
    ballot = kind.possible_votes(question)
    for answer in answers:
        vote = kind.vote(question, kind.parse(question, answer))
        assert hash(vote) == hash(kind.vote(question, kind.parse(question, answer)))
        assert ballot is None or vote in ballot, f"{vote!r} is not on the ballot {ballot!r}"


def invalid_values_raise_user_error(kind: QuestionKind, question: Question, answers: Sequence[Any]) -> None:
    """Check that any value, as JSON or from a form, is an answer or a UserError, and never another exception."""
    for value in [*INVALID_VALUES, *(broken for answer in answers for broken in _corrupt_answers(kind.parse(question, answer)))]:
        with suppress(UserError):
            kind.parse(question, value)
        with suppress(UserError):
            kind.parse_consensus(question, value)
        posted = {name: [value if isinstance(value, str) else json.dumps(value)] for name in FORM_FIELDS}
        forms: tuple[dict[str, list[str]], ...] = (
            posted,
            {},
            {name: [] for name in FORM_FIELDS},
            {name: values * 2 for name, values in posted.items()},
        )
        for form in forms:
            with suppress(UserError):
                kind.parse(question, kind.read_form(question, form))


def unknown_settings_are_refused(kind: QuestionKind, question: Question, answers: Sequence[Any]) -> None:
    """Check that `define` names a setting that the kind doesn't have, and accepts its own result."""
    assert kind.define(question) == question, "a defined question is defined otherwise the second time"
    told = ""
    try:
        kind.define(replace(question, settings={**question.settings, "no_such_setting": 1}))
    except UserError as error:
        told = str(error)
    assert "no_such_setting" in told, "an unknown setting was taken, or the message doesn't name it"


def unanimous_answer_is_consensus(kind: QuestionKind, question: Question, answers: Sequence[Any]) -> None:
    """Check that the same answer of three people is the consensus, with a certainty above one half, and valid as a known answer."""
    fitted = _fit_consensus(
        kind, question, [(f"i-{n}", person, answer) for n, answer in enumerate(answers) for person in ("ann", "bob", "cid")]
    )
    for answer, top, sure in zip(answers, fitted.top, fitted.certainty, strict=True):
        said = kind.vote(question, kind.parse(question, answer))
        known = kind.parse_consensus(question, json.loads(json.dumps(top, allow_nan=False)))
        assert kind.vote(question, known) == said, f"all say {said!r}, and the consensus is {top!r}"
        assert sure > 0.5, f"all say {said!r}, and the certainty is {sure:.2f}"


def retraction_leaves_no_trace(kind: QuestionKind, question: Question, answers: Sequence[Any]) -> None:
    """Check that judgments that were taken out leave the consensus that there would be without them."""
    said = [(f"i-{n}", person, answers[(n * k) % len(answers)]) for n in range(8) for k, person in enumerate(("ann", "bob", "cid", "dan"))]
    left = [row for row in said if row[1] != "bob"]
    item, annotator, answer = zip(*said, strict=True)
    votes = [kind.vote(question, kind.parse(question, each)) for each in answer]
    judgments = Judgments.from_columns(item=list(item), annotator=list(annotator), answer=votes, answers=kind.possible_votes(question))
    without = judgments.select_rows(judgments.annotator_code != judgments.annotators.index("bob"))
    one = aggregate(without, kind.aggregator, **kind.aggregator_options(question))
    other = _fit_consensus(kind, question, left)
    assert one.top == other.top
    assert np.allclose(one.certainty, other.certainty, atol=TOLERANCE)


def judgment_order_is_irrelevant(kind: QuestionKind, question: Question, answers: Sequence[Any]) -> None:
    """Check that judgments that arrive in another order, or twice, change nothing."""
    said = [(f"i-{n}", person, answers[(n * k) % len(answers)]) for n in range(8) for k, person in enumerate(("ann", "bob", "cid", "dan"))]
    one = _fit_consensus(kind, question, said)
    for again in (said[::-1], [*said, *said]):
        other = _fit_consensus(kind, question, again)
        assert one.top == other.top
        assert np.allclose(one.certainty, other.certainty, atol=TOLERANCE)


KIND_CHECKS: tuple[KindCheck, ...] = (
    parsed_twice_is_parsed_once,
    votes_are_hashable,
    invalid_values_raise_user_error,
    unknown_settings_are_refused,
    unanimous_answer_is_consensus,
    retraction_leaves_no_trace,
    judgment_order_is_irrelevant,
)


def _fit_consensus(kind: QuestionKind, question: Question, said: Sequence[tuple[str, str, Any]]) -> Consensus:
    """Return the consensus of (item, annotator, answer) by the kind's own aggregator."""
    item, annotator, answer = zip(*said, strict=True)
    votes = [kind.vote(question, kind.parse(question, each)) for each in answer]
    judgments = Judgments.from_columns(item=list(item), annotator=list(annotator), answer=votes, answers=kind.possible_votes(question))
    return aggregate(judgments, kind.aggregator, **kind.aggregator_options(question))


def _corrupt_answers(answer: Any) -> Iterator[Any]:
    """Yield a valid answer with each of its parts replaced by an invalid value, taken out, or given twice."""
    for part in answer if isinstance(answer, dict) else range(len(answer)) if isinstance(answer, list) else ():
        whole = dict(answer) if isinstance(answer, dict) else dict(enumerate(answer))
        variants = [whole | {part: value} for value in (*INVALID_VALUES, *_corrupt_answers(answer[part]))]
        variants += [{name: value for name, value in whole.items() if name != part}, whole | {len(whole): answer[part]}]
        yield from (variant if isinstance(answer, dict) else list(variant.values()) for variant in variants)
