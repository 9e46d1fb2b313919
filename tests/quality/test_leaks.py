"""Leaks: each test text's gravest, with the training text that gives it away."""

import random

import pytest

from preceptor.quality import GroupLeak, TextLeak, find_group_leaks, find_leaks, find_near_duplicates

RNG = random.Random(0)
VOCABULARY = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("nt", "rd", "sk", "l", "m")]


def words(count):
    return " ".join(RNG.choices(VOCABULARY, k=count))


TRAIN = [words(20) for _ in range(200)] + [words(100) for _ in range(20)]


def test_exact_near_and_quote_are_told_apart():
    quote = " ".join(TRAIN[210].split()[30:50])
    test = [words(25), TRAIN[7].upper() + " ", TRAIN[9] + "!", f"{words(30)} {quote} {words(30)}", words(90)]
    exact, near, quoting = find_leaks(TRAIN, test)
    assert exact == TextLeak(7, 1, "exact", 1.0)
    assert near[:3] == (9, 2, "near")
    assert 0.98 < near.overlap < 1
    assert quoting == TextLeak(210, 3, "quote", pytest.approx(8 / 68))  # 20 - 12 of 80 - 12 runs


def test_clean_texts_have_none():
    assert find_leaks(TRAIN, [words(count) for count in range(1, 100)]) == []


@pytest.mark.parametrize(("train", "test"), [([], []), ([], ["a"]), (["a"], []), (["short"], ["other"])])
def test_few_texts(train, test):
    assert find_leaks(train, test) == []


def test_twelve_words_are_no_quote_and_thirteen_are():
    start = TRAIN[215].split()
    for count, kinds in ((12, []), (13, ["quote"])):
        test = f"{' '.join(start[:count])} {words(40)}"
        assert [leak.kind for leak in find_leaks(TRAIN, [test])] == kinds


def test_quote_names_the_text_that_is_quoted_most():
    test = " ".join([*TRAIN[201].split()[:15], *TRAIN[202].split()[:30], *words(60).split()])
    assert [(leak.train_index, leak.kind) for leak in find_leaks(TRAIN, [test])] == [(202, "quote")]


def test_punctuation_and_case_hide_no_quote():
    test = f"{words(40)} “{', '.join(TRAIN[205].split()[:14]).title()}” {words(40)}"
    assert [(leak.train_index, leak.kind) for leak in find_leaks(TRAIN, [test])] == [(205, "quote")]


def test_near_leaks_are_those_that_share_a_cluster():
    """So a split that keeps clusters on one side has none."""
    texts = [f"{words(18)}" for _ in range(60)]
    texts += [f"{text} {words(1)}" for text in texts[:30]]
    cluster = find_near_duplicates(texts).cluster
    train, test = texts[:60], texts[60:]
    assert {leak.test_index for leak in find_leaks(train, test)} == set(range(30))
    tied = [text for text, label in zip(texts, cluster, strict=True) if label % 2]
    rest = [text for text, label in zip(texts, cluster, strict=True) if not label % 2]
    assert find_leaks(tied, rest) == []


def test_the_nearest_of_several_is_named():
    base = words(30)
    train = [f"{base} one two", f"{base} three", base]
    (leak,) = find_leaks(train, [f"{base} three!"])
    assert (leak.train_index, leak.kind) == (1, "near")


def test_a_group_on_both_sides_is_named_with_its_first_training_row():
    assert find_group_leaks(["a", "b", "", "b", None], ["b", "c", "", None, "a"]) == [GroupLeak(1, 0, "b"), GroupLeak(0, 4, "a")]
    assert find_group_leaks([], ["a"]) == find_group_leaks(["a"], []) == []


def test_all_planted_leaks_are_found(shared_rows):
    """Real questions of customers on both sides of a split: word for word, with another case, a greeting, a typing error."""
    rng = random.Random(4)
    texts = list(dict.fromkeys(row["text"] for row in shared_rows("tasks/banking77") if len(row["text"]) > 60))
    train, fresh = texts[:3000], texts[3000:3500]
    copied = rng.sample(range(3000), 400)
    ways = (str, str.upper, lambda text: f"Hi, {text}", lambda text: f"{text[:20]}x{text[21:]}")
    test = [*fresh, *(ways[number % 4](train[index]) for number, index in enumerate(copied))]
    found = {leak.test_index: leak for leak in find_leaks(train, test)}
    assert set(range(500, 900)) <= found.keys()
    assert all(found[500 + number].train_index == copied[number] for number in range(0, 400, 4))
    assert len(found) - 400 < 25  # real near duplicates among people's own questions
