"""Checks that any plug-in author can run on their own class, as the tests run them on every built-in one.

    @pytest.mark.parametrize("check", AGGREGATOR_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(MyAggregator)

A check raises AssertionError with what went wrong. Aggregators: for answers that are labels. A check of a kind of question
also takes a defined question and some different answers to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.aggregation import Aggregator, Judgments, aggregate
from preceptor.domain import Consensus, Question
from preceptor.errors import UserError
from preceptor.questions import Kind
from preceptor.testing.annotators import Crowd, simulate_crowd

CLOSE = 1e-5  # of a probability: sums in another order, and iterations that stop within a tolerance

AggregatorCheck = Callable[[type[Aggregator]], None]


def rows_sum_to_one(kind: type[Aggregator]) -> None:
    """The posterior has a row an item and a column an answer, is finite and not negative, and its rows sum to 1."""
    judgments = Judgments.from_columns(**_crowd().columns)
    posterior = kind().fit(judgments).posterior
    assert posterior.shape == (judgments.n_items, judgments.n_answers)
    assert (posterior >= 0).all(), "a probability is negative or not a number"
    assert np.allclose(posterior.sum(axis=1), 1.0, atol=1e-9), "rows don't sum to 1"


def order_is_irrelevant(kind: type[Aggregator]) -> None:
    """Judgments that arrive in another order give the same Consensus, to the last bit."""
    crowd = _crowd()
    order = np.random.default_rng(1).permutation(len(crowd.item))
    shuffled = {name: [column[row] for row in order] for name, column in crowd.columns.items()}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, shuffled))
    assert one.items == other.items
    assert np.array_equal(one.posterior, other.posterior), "another order of arrival gave another posterior"


def renamed_answers_permute(kind: type[Aggregator]) -> None:
    """Answers under other names, in another order, get the same probabilities."""
    crowd = _crowd()
    renamed = crowd.columns | {"answer": [_reversed(answer) for answer in crowd.answer]}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, renamed))
    columns = [other.answers.index(_reversed(answer)) for answer in one.answers]
    assert np.allclose(one.posterior, other.posterior[:, columns], atol=CLOSE), "answers under other names got other probabilities"


def renamed_annotators_change_nothing(kind: type[Aggregator]) -> None:
    """Annotators under other names, in another order, leave the posterior as it is."""
    crowd = _crowd()
    renamed = crowd.columns | {"annotator": [_reversed(name) for name in crowd.annotator]}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, renamed))
    assert np.allclose(one.posterior, other.posterior, atol=CLOSE), "annotators under other names gave another posterior"


def renamed_items_permute(kind: type[Aggregator]) -> None:
    """Items under other names, in another order, get the same probabilities."""
    crowd = _crowd()
    renamed = crowd.columns | {"item": [_reversed(name) for name in crowd.item]}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, renamed))
    rows = [other.items.index(_reversed(name)) for name in one.items]
    assert np.allclose(one.posterior, other.posterior[rows], atol=CLOSE), "items under other names got other probabilities"


def doubled_rows_change_nothing(kind: type[Aggregator]) -> None:
    """Every judgment given twice, under the rule that repeats share a vote, gives the same posterior."""
    crowd = _crowd()
    doubled = {name: column + column for name, column in crowd.columns.items()}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, doubled))
    assert np.allclose(one.posterior, other.posterior, atol=CLOSE), "judgments given twice gave another posterior"


def gold_is_obeyed(kind: type[Aggregator]) -> None:
    """An item with a known answer gets it, even where everybody says otherwise."""
    crowd = _crowd()
    judgments = Judgments.from_columns(**crowd.columns)
    wrong = {item: judgments.answers[judgments.answers.index(answer) - 1] for item, answer in list(crowd.truth.items())[:2]}
    gold = dict(list(crowd.truth.items())[2:20]) | wrong
    top = _top(kind().fit(judgments, gold))
    missed = [item for item, answer in gold.items() if top[item] != answer]
    assert not missed, f"gold was not obeyed on {missed}"


def fitting_is_pure(kind: type[Aggregator]) -> None:
    """The same aggregator gives the same Consensus twice, and leaves judgments and gold as they were."""
    crowd = _crowd()
    judgments, gold = Judgments.from_columns(**crowd.columns), dict(list(crowd.truth.items())[:10])
    before = [column.copy() for column in _arrays(judgments)]
    aggregator = kind()
    first = aggregator.fit(judgments, gold).posterior.copy()
    aggregator.fit(judgments)
    assert np.array_equal(first, aggregator.fit(judgments, gold).posterior), "a second fit differs from the first"
    assert all(np.array_equal(old, new) for old, new in zip(before, _arrays(judgments), strict=True)), "the judgments were changed"


def small_input_is_served(kind: type[Aggregator]) -> None:
    """One judgment, one item, one annotator, one answer, an item without any answer: a posterior all the same."""
    for item, annotator, answer, answers in (
        (["a"], ["x"], ["yes"], None),
        (["a"], ["x"], ["yes"], ["yes", "no"]),
        (["a", "a", "a"], ["x", "y", "z"], ["yes", "no", "yes"], None),
        (["a", "b", "c"], ["x", "x", "x"], ["yes", "no", "yes"], None),
        (["a", "b", "b"], ["x", "x", "y"], ["yes", "yes", "yes"], None),
        (["a", "b", "c"], ["x", "x", "y"], ["yes", "no", None], None),
        (["a", "b"], ["x", "y"], [None, None], ["yes", "no"]),
    ):
        posterior = kind().fit(Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers=answers)).posterior
        assert np.allclose(posterior.sum(axis=1), 1.0), f"no posterior for {item}, {annotator}, {answer}"


def unknown_gold_is_refused(kind: type[Aggregator]) -> None:
    """A gold answer outside the answers is the user's error, and named."""
    told = ""
    try:
        kind().fit(Judgments.from_columns(**_crowd().columns), {"item-00000": "elsewhere"})
    except UserError as error:
        told = str(error)
    assert "elsewhere" in told, "a gold answer outside the answers was taken, or the message doesn't name it"


def retraction_equals_never_asking(kind: type[Aggregator]) -> None:
    """Judgments that are taken out leave no trace."""
    crowd = _crowd()
    judgments = Judgments.from_columns(**crowd.columns)
    left = judgments.annotator_code != 0
    kept = [row for row, name in enumerate(crowd.annotator) if name != judgments.annotators[0]]
    columns: dict[str, Any] = {name: [column[row] for row in kept] for name, column in crowd.columns.items()}
    never = Judgments.from_columns(**columns)
    one, other = kind().fit(judgments.keep(left)), kind().fit(never)
    assert np.allclose(one.posterior, other.posterior, atol=CLOSE), "a retracted annotator left a trace"


AGGREGATOR_CHECKS: tuple[AggregatorCheck, ...] = (
    rows_sum_to_one,
    order_is_irrelevant,
    renamed_answers_permute,
    renamed_annotators_change_nothing,
    renamed_items_permute,
    doubled_rows_change_nothing,
    gold_is_obeyed,
    fitting_is_pure,
    small_input_is_served,
    unknown_gold_is_refused,
    retraction_equals_never_asking,
)


def _crowd() -> Crowd:
    return simulate_crowd(items=80, annotators=12, answers=3, per_item=5)


def _reversed(name: str) -> str:
    """Another name, that sorts the other way round."""
    kind, number = name.rsplit("-", 1)
    return f"{kind}-{99_999 - int(number):05d}"


def _arrays(judgments: Judgments) -> list[NDArray[Any]]:
    return [judgments.item_code, judgments.annotator_code, judgments.answer_code, judgments.weight, judgments.votes]


def _top(consensus: Consensus) -> dict[Any, Any]:
    return dict(zip(consensus.items, consensus.top, strict=True))


RUBBISH: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**30, "", " ", "\0", "\ud800", "[", "null", "<script>", "x" * 10_000,
    [], [[]], [None], [{}], {}, {"": None}, {"winner": []}, {"order": [0, 0]}, {"order": "0,1,x"}, {"places": [1, 1, 2]}, {"text": 3},
    [{"start": 3, "end": 1, "label": "x"}], [{"start": -1, "end": 1}], [{"start": "0", "end": []}], [{"claim": 0, "verdict": []}],
    [{"claim": {}, "verdict": "supported"}], [[[[[[]]]]]],
)  # fmt: skip
FIELDS = ("answer", "winner", "order", "reasons", "place.0", "place.x", "shown", "text", "from", "spans", "claims", "verdict.0", "source.0")

KindCheck = Callable[[Kind, Question, Sequence[Any]], None]


def parsed_twice_is_parsed_once(kind: Kind, question: Question, answers: Sequence[Any]) -> None:
    """What `parse` gives is a JSON value that it takes as it is."""
    for answer in answers:
        kept = kind.parse(question, answer)
        read = json.loads(json.dumps(kept, allow_nan=False))
        assert read == kept, f"{kept!r} comes back from JSON as {read!r}"
        assert kind.parse(question, read) == kept, f"{kept!r} is parsed into something else"


def votes_are_hashable(kind: Kind, question: Question, answers: Sequence[Any]) -> None:
    """A vote can be counted, is on the ballot where there is one, and the same for the same answer."""
    ballot = kind.ballot(question)
    for answer in answers:
        vote = kind.vote(question, kind.parse(question, answer))
        assert hash(vote) == hash(kind.vote(question, kind.parse(question, answer)))
        assert ballot is None or vote in ballot, f"{vote!r} is not on the ballot {ballot!r}"


def rubbish_is_the_users_error(kind: Kind, question: Question, answers: Sequence[Any]) -> None:
    """Whatever comes, as JSON or from a form, is an answer or a UserError, and never another exception."""
    for value in [*RUBBISH, *(broken for answer in answers for broken in _broken(kind.parse(question, answer)))]:
        with suppress(UserError):
            kind.parse(question, value)
        with suppress(UserError):
            kind.parse_consensus(question, value)
        posted = {name: [value if isinstance(value, str) else json.dumps(value)] for name in FIELDS}
        forms: tuple[dict[str, list[str]], ...] = (
            posted,
            {},
            {name: [] for name in FIELDS},
            {name: values * 2 for name, values in posted.items()},
        )
        for form in forms:
            with suppress(UserError):
                kind.parse(question, kind.read_form(question, form))


def unknown_settings_are_refused(kind: Kind, question: Question, answers: Sequence[Any]) -> None:
    """`define` names a setting that the kind doesn't have, and takes what it gave."""
    assert kind.define(question) == question, "a defined question is defined otherwise the second time"
    told = ""
    try:
        kind.define(replace(question, settings={**question.settings, "no_such_setting": 1}))
    except UserError as error:
        told = str(error)
    assert "no_such_setting" in told, "an unknown setting was taken, or the message doesn't name it"


def what_all_say_is_the_consensus(kind: Kind, question: Question, answers: Sequence[Any]) -> None:
    """Where three people say the same of each item, that is the consensus, surer than not, and a known answer may be just that."""
    fitted = _fit(kind, question, [(f"i-{n}", person, answer) for n, answer in enumerate(answers) for person in ("ann", "bob", "cid")])
    for answer, top, sure in zip(answers, fitted.top, fitted.certainty, strict=True):
        said = kind.vote(question, kind.parse(question, answer))
        known = kind.parse_consensus(question, json.loads(json.dumps(top, allow_nan=False)))
        assert kind.vote(question, known) == said, f"all say {said!r}, and the consensus is {top!r}"
        assert sure > 0.5, f"all say {said!r}, and the certainty is {sure:.2f}"


def a_retraction_leaves_no_trace(kind: Kind, question: Question, answers: Sequence[Any]) -> None:
    """Judgments that were taken out give the consensus that would be there without them."""
    said = [(f"i-{n}", person, answers[(n * k) % len(answers)]) for n in range(8) for k, person in enumerate(("ann", "bob", "cid", "dan"))]
    left = [row for row in said if row[1] != "bob"]
    item, annotator, answer = zip(*said, strict=True)
    votes = [kind.vote(question, kind.parse(question, each)) for each in answer]
    judgments = Judgments.from_columns(item=list(item), annotator=list(annotator), answer=votes, answers=kind.ballot(question))
    without = judgments.keep(judgments.annotator_code != judgments.annotators.index("bob"))
    one = aggregate(without, kind.aggregator, **kind.aggregator_options(question))
    other = _fit(kind, question, left)
    assert one.top == other.top
    assert np.allclose(one.certainty, other.certainty, atol=CLOSE)


def the_order_is_irrelevant(kind: Kind, question: Question, answers: Sequence[Any]) -> None:
    """Judgments that arrive in another order, or twice, change nothing."""
    said = [(f"i-{n}", person, answers[(n * k) % len(answers)]) for n in range(8) for k, person in enumerate(("ann", "bob", "cid", "dan"))]
    one = _fit(kind, question, said)
    for again in (said[::-1], [*said, *said]):
        other = _fit(kind, question, again)
        assert one.top == other.top
        assert np.allclose(one.certainty, other.certainty, atol=CLOSE)


KIND_CHECKS: tuple[KindCheck, ...] = (
    parsed_twice_is_parsed_once,
    votes_are_hashable,
    rubbish_is_the_users_error,
    unknown_settings_are_refused,
    what_all_say_is_the_consensus,
    a_retraction_leaves_no_trace,
    the_order_is_irrelevant,
)


def _fit(kind: Kind, question: Question, said: Sequence[tuple[str, str, Any]]) -> Consensus:
    """The consensus of (item, annotator, answer) by the kind's own aggregator."""
    item, annotator, answer = zip(*said, strict=True)
    votes = [kind.vote(question, kind.parse(question, each)) for each in answer]
    judgments = Judgments.from_columns(item=list(item), annotator=list(annotator), answer=votes, answers=kind.ballot(question))
    return aggregate(judgments, kind.aggregator, **kind.aggregator_options(question))


def _broken(answer: Any) -> Iterator[Any]:
    """A good answer with each of its parts replaced by rubbish, taken out, or given twice."""
    for part in answer if isinstance(answer, dict) else range(len(answer)) if isinstance(answer, list) else ():
        whole = dict(answer) if isinstance(answer, dict) else dict(enumerate(answer))
        variants = [whole | {part: value} for value in (*RUBBISH, *_broken(answer[part]))]
        variants += [{name: value for name, value in whole.items() if name != part}, whole | {len(whole): answer[part]}]
        yield from (variant if isinstance(answer, dict) else list(variant.values()) for variant in variants)
