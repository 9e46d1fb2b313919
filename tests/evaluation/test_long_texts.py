"""Long answers of odd shapes are read once, not once from each of their places.

At these lengths work that grows with the square of a text takes hours, so that what times out here is what grew.
"""

from __future__ import annotations

import pytest

from preceptor.evaluation.claims import split_claims
from preceptor.evaluation.generation_metrics import starts_with_refusal
from preceptor.evaluation.policies.refusals import find_refusal
from preceptor.evaluation.policies.refusals import sentence_spans as rule_sentences
from preceptor.formats.json_format import STRICT_DECODER
from preceptor.quality.leakage import delexicalize
from preceptor.retrieval.text_analysis import split_sentences
from preceptor.training import raft_sources

LENGTH = 300_000
SHAPES = ("a b c is, and ", "it is so; ", "x, and ", "' ", '"', ".", "!", ". ", "...a", "a@", "_", " ", "\t", "i can't ", "word ")


def test_an_answer_of_any_shape_is_split_once(subtests):
    for shape in SHAPES:
        with subtests.test(shape=shape):
            text = (shape * LENGTH)[:LENGTH]
            split_claims(text)  # 20,000 characters took 14 s
            list(split_sentences(text))
            list(rule_sentences(f"{text}x"))
            starts_with_refusal(text)


@pytest.mark.parametrize("shape", [" ", "\t", "[", "a "])
def test_what_is_looked_for_at_an_end_is_looked_for_there(shape):
    assert raft_sources._CITATION.search((shape * LENGTH)[:LENGTH] + "x") is None


def test_a_word_without_end_is_no_address():
    assert "{email}" in delexicalize("a" * LENGTH + " ada@example.org")


def test_the_claims_of_a_long_sentence_are_those_of_its_parts():
    sentence = "The fee is five euros, and the rate was two percent, but calls abroad are charged; it covers all of Spain."
    parts = ("The fee is five euros", "the rate was two percent", "calls abroad are charged", "it covers all of Spain.")
    assert split_claims(sentence) == parts
    many = ", and ".join(f"the fee of plan {number} is five euros" for number in range(10_000))
    assert len(split_claims(many)) == 10_000


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("... hello.", [(0, 3), (4, 10)]),
        ("Plan B... then go. Dr.. Who? Yes", [(0, 9), (10, 18), (19, 23), (24, 28), (29, 32)]),
        ('Mr. A. came!" he said', [(0, 13), (14, 21)]),
        ("no end.here", [(0, 11)]),
    ],
)
def test_rules_cut_as_they_did(text, spans):
    assert list(rule_sentences(text)) == spans


def test_a_key_that_stands_twice_in_a_large_object_is_found():
    keys = ", ".join(f'"key-{number}": 1' for number in range(300_000))
    with pytest.raises(ValueError, match="'last' stands twice"):
        STRICT_DECODER.decode(f'{{{keys}, "last": 1, "last": 2}}')


def test_a_long_refusal_is_one():
    assert find_refusal("I'm sorry, but I can't help with that. " + "!" * LENGTH) is not None
