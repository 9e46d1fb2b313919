"""Texts: the one most like the others is nearer to the truth than one person's, or than the text that most gave."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.distances import cosine_similarities, trigram_profiles

WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "s", "lo", "mi")]


def simulate(seed, *, items=200, people=15, each=4, length=12):
    """True sentences, how often each person writes another word, and judgments."""
    rng = np.random.default_rng(seed)
    slips = rng.choice([0.05, 0.2, 0.5], people, p=[0.4, 0.3, 0.3])
    truth = rng.integers(len(WORDS), size=(items, length))
    item = np.repeat(np.arange(items), each)
    annotator = np.concatenate([rng.permutation(people)[:each] for _ in range(items)])
    other = rng.integers(len(WORDS), size=(len(item), length))
    said = np.where(rng.random(other.shape) < slips[annotator, None], other, truth[item])
    texts = [" ".join(WORDS[k] for k in row) for row in said]
    return [" ".join(WORDS[k] for k in row) for row in truth], slips, Judgments.from_columns(item=item, annotator=annotator, answer=texts)


def likeness(ours, truth):
    both = trigram_profiles([*ours, *truth])
    return cosine_similarities(both, np.arange(len(truth)), np.arange(len(truth), 2 * len(truth))).mean()


@pytest.mark.parametrize("seed", range(3))
def test_is_nearer_to_the_truth_than_one_person_and_than_most(seed):
    truth, slips, judgments = simulate(seed)
    fitted = aggregate(judgments, "similar")
    ours = likeness([answer["text"] for answer in fitted.top], truth)
    one = likeness([judgments.answers[k] for k in judgments.answer_code], [truth[k] for k in judgments.item_code])
    assert ours > max(one, likeness(aggregate(judgments, "majority").top, truth)) + 0.1
    accuracy = [fitted.annotators[person].accuracy.value for person in range(len(slips))]
    assert np.corrcoef(accuracy, slips)[0, 1] < -0.9


def texts(*said, names="abcdef"):
    return Judgments.from_columns(item=[0] * len(said), annotator=list(names[: len(said)]), answer=list(said))


def test_a_text_isnt_like_itself_nor_like_its_authors_other():
    said = texts("one long odd answer", "one long odd answer", "Paris is it", "Paris it is", names="aabc")
    assert aggregate(said, "similar").top[0]["text"].startswith("Paris")


def test_the_certainty_is_what_a_further_person_is_expected_to_share():
    alone, alike, apart = (
        float(aggregate(texts(*said), "similar").certainty[0]) for said in (["a cat"], ["a cat"] * 3, ["a cat", "no dog", "xyz"])
    )
    assert alone == 0.5  # nothing is known of how like people's texts are
    assert apart < 0.2 < 0.9 < alike


def test_gold_is_the_answer():
    fitted = aggregate(texts("a", "b"), "similar", gold={0: "c"})
    assert fitted.top == ({"text": "c", "from": None},)
    assert fitted.certainty[0] == 0.99


def test_similarity_knows_neither_case_nor_spaces():
    profile = trigram_profiles(["A  cat\n", "a cat", "a cat sat", "dog", ""])
    found = cosine_similarities(profile, np.array([0, 0, 0, 0, 4]), np.array([1, 2, 3, 4, 4]))
    assert found[0] == pytest.approx(1)
    assert 0.5 < found[1] < 0.9
    assert found[2:4].tolist() == [0, 0]
    assert 0 <= found[4] <= 1


def test_answers_must_be_texts():
    with pytest.raises(UserError, match="a text is expected, not 3"):
        aggregate(Judgments.from_columns(item=[0], annotator=["a"], answer=[3]), "similar")
