import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor import UserError
from preceptor.consensus import Judgments, aggregate, aggregate_multilabel

RATES = np.array([0.4, 0.3, 0.2, 0.1, 0.05, 0.02])
LABELS = tuple("abcdef")


def simulate(rng, items=300, people=30, each=4):
    """True table (items, labels), and columns; people overlook labels more often than they invent some."""
    truth = rng.random((items, len(RATES))) < RATES
    finds = np.clip(rng.beta(6, 2.5, people)[:, None] + rng.normal(0, 0.08, len(RATES)), 0.05, 0.98)
    invents = 1 - rng.beta(20, 1.5, people)[:, None]
    item = np.repeat(np.arange(items), each)
    annotator = np.concatenate([rng.permutation(people)[:each] for _ in range(items)])
    said = rng.random((len(item), len(RATES))) < np.where(truth[item], finds[annotator], invents[annotator])
    return truth, {"item": item, "annotator": annotator, "answer": [tuple(LABELS[k] for k in np.flatnonzero(row)) for row in said]}


def f1(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_finds_what_a_vote_overlooks():
    truth, columns = simulate(np.random.default_rng(0))
    c = aggregate_multilabel(**columns, labels=LABELS)
    votes = np.zeros(truth.shape)
    for item, answer in zip(columns["item"], columns["answer"], strict=True):
        votes[item, [LABELS.index(label) for label in answer]] += 1 / 4
    assert f1(c.applies > 0.5, truth) > f1(votes > 0.5, truth) + 0.1
    p = np.clip(c.applies, 1e-9, 1 - 1e-9)
    assert -np.mean(np.where(truth, np.log(p), np.log(1 - p))) < 0.13  # nats a decision; shares of votes, kept off 0 and 1: 0.18
    assert c.applies.mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=0.03)


def test_sets_have_a_posterior():
    _, columns = simulate(np.random.default_rng(1))
    c = aggregate_multilabel(**columns, labels=LABELS)
    assert c.posterior.sum(axis=1) == pytest.approx(np.ones(300))
    assert set(c.answers) == set(columns["answer"])


def test_the_top_set_is_the_most_probable_of_all_whoever_gave_it():
    truth, columns = simulate(np.random.default_rng(1))
    c = aggregate_multilabel(**columns, labels=LABELS)
    assert c.top == c.sets
    assert c.certainty == pytest.approx([np.prod(np.maximum(row, 1 - row)) for row in c.applies])
    right = [set(top) == {LABELS[k] for k in np.flatnonzero(row)} for top, row in zip(c.top, truth, strict=True)]
    assert c.certainty.mean() == pytest.approx(np.mean(right), abs=0.06)


def test_named_labels_keep_their_order():
    j = Judgments.from_columns(item=[1, 1], annotator=["ann", "bob"], answer=[("z", "a"), ("z", "a")])
    c = aggregate(j, "multilabel", labels=("z", "m", "a"))
    assert c.labels == ("z", "m", "a")
    assert c.top == (("z", "a"),)


def test_registered_form_agrees_with_the_function():
    _, columns = simulate(np.random.default_rng(2), items=80)
    one = aggregate_multilabel(**columns)
    other = aggregate(
        Judgments.from_columns(**{**columns, "answer": np.array([*columns["answer"], None], dtype=object)[:-1]}), "multilabel"
    )
    assert other.labels == one.labels
    assert other.applies == pytest.approx(one.applies, abs=1e-9)
    assert list(other.judgment_counts) == list(one.judgment_counts)


def test_a_label_that_was_not_shown_is_no_no():
    """Half of the people never saw label z; nearly everyone who saw it ticked it."""
    item, annotator = np.divmod(np.arange(400), 8)
    sees = annotator < 4
    answer = [("z", "a") if s else ("a",) for s in sees]
    shown = [("a", "z") if s else ("a",) for s in sees]
    columns = {"item": item, "annotator": annotator, "answer": answer}
    assert aggregate_multilabel(**columns, shown=shown).applies[:, 1].min() > 0.9
    assert aggregate_multilabel(**columns).applies[:, 1].max() < 0.9


def test_a_label_shown_to_nobody_gets_its_base_rate():
    c = aggregate_multilabel(
        item=[1, 1, 2, 2], annotator=list("abab"), answer=[["x"], ["x"], ["x"], ["y"]], shown=[["x"], ["x"], ["x", "y"], ["x", "y"]]
    )
    assert 0 < c.applies[0, 1] < 1
    assert c.labels == ("x", "y")


def test_nothing_ticked_is_an_answer_and_missing_is_none():
    c = aggregate_multilabel(item=[1, 1, 2], annotator=list("abc"), answer=[(), (), None], labels=["x"])
    assert c.sets[0] == ()
    assert list(c.judgment_counts) == [2, 0]


def test_gold_fixes_all_labels_of_an_item():
    _, columns = simulate(np.random.default_rng(3))
    gold = {0: ("f",), 1: (), 2: ("a", "f"), "unseen": ("a",)}
    c = aggregate_multilabel(**columns, labels=LABELS, gold=gold)
    assert c.sets[:3] == (("f",), (), ("a", "f"))
    with pytest.raises(UserError, match="not among the labels"):
        aggregate(Judgments.from_columns(item=[1], annotator=["a"], answer=[("x",)]), "multilabel", gold={1: ("q",)})


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100))
def test_order_and_names_are_irrelevant(seed):
    rng = np.random.default_rng(seed)
    _, columns = simulate(rng, items=30, people=6)
    order = rng.permutation(120)
    names = dict(zip(LABELS, rng.permutation(list("uvwxyz")), strict=True))
    again = aggregate_multilabel(
        item=columns["item"][order],
        annotator=-columns["annotator"][order],
        answer=[[names[x] for x in columns["answer"][m]] for m in order],
    )
    once = aggregate_multilabel(**columns)
    columns_again = [again.labels.index(names[label]) for label in once.labels]
    assert again.applies[:, columns_again] == pytest.approx(once.applies, abs=1e-6)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"shown": [["x"], ["x"]]}, "row 2: a label was ticked that was not shown"),
        ({"item": [1]}, "differ in length"),
        ({"answer": [None, None]}, "no answers"),
        ({"prior": 1}, "no option is called 'prior'"),
    ],
)
def test_faults_are_named(fault, said):
    with pytest.raises(UserError, match=said):
        aggregate_multilabel(**{"item": [1, 1], "annotator": ["a", "b"], "answer": [["x"], ["x", "y"]]} | fault)
