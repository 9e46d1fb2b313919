"""Near duplicates: the same clusters as comparing all pairs, whatever the order, and nothing else joined."""

import hashlib
import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.quality import exact_key, find_near_duplicates

WORDS = [
    first + rest
    for first in ("b", "dr", "f", "gl", "k", "m", "pl", "s", "tr", "v")
    for rest in ("arn", "elt", "ist", "olm", "unk", "ave", "ip")
]


def sentence(rng, length):
    return " ".join(rng.choices(WORDS, k=length))


def edited(rng, text):
    """The text with one character changed."""
    at = rng.randrange(len(text))
    return f"{text[:at]}{rng.choice('xyz')}{text[at + 1 :]}"


def corpus(seed, families=40, length=30):
    """Families of one sentence and edits of edits of it, shuffled, so that chains of near duplicates arise."""
    rng = random.Random(seed)
    texts = []
    for _ in range(families):
        texts.append(sentence(rng, length))
        for _ in range(rng.randrange(5)):
            texts.append(edited(rng, texts[-1]))
    rng.shuffle(texts)
    return texts


def brute_force(texts, threshold=0.8):
    """Clusters as frozensets of texts, by comparing all pairs of character 5-gram sets; for texts under 50 words."""
    plain = {text: " ".join(text.split()) for text in texts}
    sets = {text: {plain[text][i : i + 5] for i in range(max(len(plain[text]) - 4, 1))} for text in plain}
    parent = {text: text for text in plain}

    def root(text):
        return text if parent[text] == text else root(parent[text])

    for one, other in combinations(plain, 2):
        common = len(sets[one] & sets[other])
        if common / (len(sets[one]) + len(sets[other]) - common) >= threshold:
            parent[root(one)] = root(other)
    return {frozenset(text for text in plain if root(text) == top) for top in plain if root(top) == top}


def as_sets(texts, found):
    return {frozenset(text for text, label in zip(texts, found.cluster, strict=True) if label == cluster) for cluster in set(found.cluster)}


def test_exact_key_is_sha256_of_the_normal_form():
    assert exact_key("Ｈello  \n STRASSE ﬁ") == exact_key("hello strasse fi") == hashlib.sha256(b"hello strasse fi").hexdigest()
    assert exact_key("straße") == exact_key("STRASSE")
    assert exact_key("e\u0301") == exact_key("é")
    assert exact_key("good") != exact_key("good!")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.95])
def test_clusters_are_those_of_comparing_all_pairs(seed, threshold):
    texts = corpus(seed)
    found = find_near_duplicates(texts, threshold=threshold)
    expected = brute_force(texts, threshold)
    assert as_sets(texts, found) == expected
    assert len(texts) - found.exact - found.near == len(expected)
    assert 0 < found.near < len(texts)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), shuffling=st.randoms(use_true_random=False), extra=st.lists(st.text(max_size=12), max_size=8))
def test_order_is_irrelevant(seed, shuffling, extra):
    texts = corpus(seed, families=10) + extra
    shuffled = shuffling.sample(texts, len(texts))
    one, other = find_near_duplicates(texts), find_near_duplicates(shuffled)
    assert as_sets(texts, one) == as_sets(shuffled, other)
    assert (one.exact, one.near) == (other.exact, other.near)


def test_order_is_irrelevant_in_buckets_too_full_to_compare_all():
    rng = random.Random(5)
    texts = [f"{sentence(rng, 2)} your order number {n} has been shipped to the address given in your account" for n in range(600)]
    found = [as_sets(order, find_near_duplicates(order)) for order in (texts, texts[::-1], rng.sample(texts, len(texts)))]
    assert found[0] == found[1] == found[2]
    assert 1 < len(found[0]) < 600


def test_different_texts_are_not_joined():
    rng = random.Random(0)
    texts = [sentence(rng, length) for length in range(3, 80) for _ in range(20)]
    found = find_near_duplicates(texts)
    assert (found.exact, found.near) == (len(texts) - len(set(texts)), 0)
    opposite = find_near_duplicates(["The food was good.", "The food was bad.", "I give it 4 stars", "I give it 5 stars"])
    assert opposite.near == 0


@pytest.mark.parametrize("length", [8, 20, 47, 49, 50, 51, 60, 64, 200, 2000])
def test_planted_near_duplicates_are_found_at_any_length(length):
    """Also where one of the two is compared as a short text and the other as a long one."""
    rng = random.Random(length)
    originals = [sentence(rng, length) for _ in range(50)]
    shorter = [text.rpartition(" ")[0] for text in originals]
    found = find_near_duplicates(originals + shorter)
    assert found.cluster.tolist() == [*range(50), *range(50)]
    assert (found.exact, found.near) == (0, 50)


def test_clusters_are_numbered_in_order_of_appearance_and_shown_by_example():
    texts = [
        "alpha beta gamma delta",
        "something else entirely",
        "Alpha  beta gamma delta",
        "alpha beta gamma delta!",
        "something else entirely",
    ]
    found = find_near_duplicates(texts)
    assert found.cluster.tolist() == [0, 1, 0, 0, 1]
    assert (found.exact, found.near) == (2, 1)
    assert [(pair.first, pair.second, pair.kind) for pair in found.examples] == [(0, 2, "exact"), (1, 4, "exact"), (0, 3, "near")]
    assert found.examples[2].overlap == pytest.approx(18 / 19)


def test_each_text_names_the_nearest_that_it_stands_with():
    """By comparing all pairs of each cluster, in clusters of up to eight different texts."""
    texts = corpus(7, families=60)
    found = find_near_duplicates(texts)
    sets = [{text[i : i + 5] for i in range(len(text) - 4)} for text in texts]
    for members in found.members():
        for index in members:
            others = [other for other in members if other != index and texts[other] != texts[index]]
            copies = [other for other in members if other != index and texts[other] == texts[index]]
            if copies:
                assert (int(found.partner[index]), found.overlap[index], bool(found.is_exact[index])) == (copies[0], 1.0, True)
            elif len({texts[member] for member in members}) <= 8:
                nearest = max(len(sets[index] & sets[other]) / len(sets[index] | sets[other]) for other in others)
                assert int(found.partner[index]) in others
                assert found.overlap[index] == pytest.approx(nearest)
    alone = set(range(len(texts))) - {index for members in found.members() for index in members}
    assert {index for index in range(len(texts)) if found.partner[index] < 0} == alone
    assert not found.overlap[sorted(alone)].any()


def test_a_pair_that_is_shown_is_alike_by_itself_and_not_only_through_others():
    texts = ["My transfer is pending, why?", "why is my transfer pending", "My transfer is pending."]
    found = find_near_duplicates(texts)
    assert found.members() == [(0, 1)]
    texts += ["My transfer is pending, why??", "My transfer is still pending, why?"]
    for threshold in (0.5, 0.7, 0.8):
        for pair in find_near_duplicates(texts, threshold=threshold).pairs():
            words = [sorted(texts[index].lower().replace("?", "").replace(",", "").replace(".", "").split()) for index in pair[:2]]
            assert pair.overlap >= threshold or words[0] == words[1]


def test_every_text_that_is_joined_is_shown_with_another():
    texts = [
        "one two three four",
        "ONE two three four",
        "one two three four",
        "other words",
        "nothing like it at all",
        "four three two one!",
    ]
    found = find_near_duplicates(texts)
    assert found.members() == [(0, 1, 2, 5)]
    assert found.partner.tolist() == [1, 0, 0, -1, -1, 0]
    assert found.is_exact.tolist() == [True, True, True, False, False, False]
    assert [(pair.first, pair.second, pair.kind) for pair in found.pairs()] == [(0, 1, "exact"), (0, 2, "exact"), (0, 5, "near")]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Please cancel my card now", "my card: please cancel, now!", True),
        ("ok", "OK!", True),
        ("Who, me?", "me, who?", False),
        ("I know C++ and Java well", "I know C and Java well", False),
        ("What is 3*4 in base ten?", "What is 3+4 in base ten?", False),
        ("It fell by 5% over the year", "It fell by 5 over the year", False),
        ("...", "!?", False),
    ],
)
def test_the_same_words_are_alike_and_signs_that_mean_something_count(one, other, alike):
    assert (len(find_near_duplicates([one, other]).members()) == 1) is alike


def test_at_a_threshold_of_one_the_order_of_words_counts():
    assert find_near_duplicates(["a b c d", "d c b a", "A b  c d"], threshold=1.0).cluster.tolist() == [0, 1, 0]


def test_scripts_without_spaces_and_odd_texts():
    poem = "床前明月光疑是地上霜举头望明月低头思故乡" * 3
    texts = [poem, poem + "。", "", " \n", "💩", "👩‍👩‍👧‍👦", "ok", "no", "\ud800", "a\0b"]
    assert find_near_duplicates(texts).cluster.tolist() == [0, 0, 1, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("texts", [[], ["one"], ["", ""]])
def test_few_texts(texts):
    assert find_near_duplicates(texts).cluster.tolist() == [0] * len(texts)


def test_a_template_becomes_one_cluster_through_links():
    texts = [f"Your order number {n} has been shipped to the address that you gave us last time." for n in range(3000)]
    assert np.unique(find_near_duplicates(texts).cluster).tolist() == [0]


@pytest.mark.parametrize("threshold", [0, -1, 1.1, float("nan")])
def test_threshold_must_be_a_share(threshold):
    with pytest.raises(UserError, match="threshold is"):
        find_near_duplicates(["a"], threshold=threshold)
