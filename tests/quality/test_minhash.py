"""MinHash estimates the Jaccard index without bias, and the bands find what they promise."""

import random

import numpy as np
import pytest

from preceptor.quality.duplicates import (
    MINHASH_COUNT,
    NEIGHBOUR_STEPS,
    band_keys,
    bucket_neighbours,
    build_shingle_sets,
    jaccard_index,
    lsh_buckets,
    minhash_signatures,
    rows_per_band,
)


def pairs_of(alike, count=400, size=60):
    """Texts in pairs that share the given number of their first `size` words out of an endless vocabulary."""
    rng = random.Random(alike)
    texts = []
    for _ in range(count):
        shared = [f"w{rng.randrange(10**9)}" for _ in range(alike)]
        texts += [" ".join([*shared, *(f"w{rng.randrange(10**9)}" for _ in range(size - alike))]) for _ in range(2)]
    return texts


@pytest.mark.parametrize("alike", [10, 40, 50, 57])
def test_share_of_equal_values_estimates_the_jaccard_index(alike):
    sets = build_shingle_sets(pairs_of(alike), by_words=True)
    signed = minhash_signatures(sets, seed=1)
    left = np.arange(0, len(sets), 2)
    true = jaccard_index(sets, left, left + 1)
    assert true == pytest.approx((alike - 4) / (2 * 56 - (alike - 4)))
    estimate = (signed[left] == signed[left + 1]).mean(axis=1)
    deviation = np.sqrt(true[0] * (1 - true[0]) / MINHASH_COUNT)
    assert abs(estimate.mean() - true[0]) < 4 * deviation / np.sqrt(len(left))
    assert estimate.std() == pytest.approx(deviation, rel=0.15)


def test_bands_are_as_long_as_the_recall_allows():
    assert rows_per_band(0.8) == 5  # 1 - (1 - 0.8^5)^25 = 0.99995; six rows would give 0.998
    assert [rows_per_band(threshold) for threshold in (0.01, 0.5, 0.95)] == [1, 2, 12]


def test_pairs_at_the_threshold_are_neighbours():
    sets = build_shingle_sets(pairs_of(54, count=2000), by_words=True)  # 50 of 62 shingles: 0.806
    found = set()
    for bucket in lsh_buckets(band_keys(sets, 0.8, seed=0)):
        for step in NEIGHBOUR_STEPS:
            found |= {tuple(pair) for pair in np.sort(bucket_neighbours(bucket, step), axis=0).T.tolist()}
    assert len(found & {(2 * n, 2 * n + 1) for n in range(2000)}) >= 1996
    assert len(found) < 2100


def test_a_bucket_holds_the_texts_of_one_key_in_their_order():
    (bucket,) = lsh_buckets(np.array([[7, 3, 7, 9, 3, 7]], np.uint32))
    assert (bucket.texts.tolist(), bucket.keys.tolist(), bucket.starts.tolist()) == ([1, 4, 0, 2, 5], [3, 3, 7, 7, 7], [0, 2])
    assert [pair.tolist() for pair in bucket_neighbours(bucket, 1)] == [[1, 0, 2], [4, 2, 5]]
    assert [pair.tolist() for pair in bucket_neighbours(bucket, 2)] == [[0], [5]]


def test_signatures_don_t_depend_on_how_texts_are_blocked():
    texts = ["word " * 3, *pairs_of(10, count=3, size=6000), "x"]
    sets = build_shingle_sets(texts, by_words=True)
    whole = minhash_signatures(sets, 3)
    for row, text in enumerate(texts):
        assert (minhash_signatures(build_shingle_sets([text], by_words=True), 3)[0] == whole[row]).all()
    assert (minhash_signatures(sets, 3, 2, 5) == whole[2:5]).all()


def test_sets_are_those_of_python_whatever_the_blocks():
    rng = random.Random(0)
    texts = ["".join(rng.choices("ab c\U0001f600é", k=rng.randrange(400))) for _ in range(2000)]
    sets = build_shingle_sets(texts, by_words=False)
    grams = [{text.ljust(5, "\0")[at : at + 5] for at in range(max(len(text) - 4, 1))} for text in texts]
    assert sets.sizes.tolist() == [len(each) for each in grams]
    left, right = rng.choices(range(2000), k=5000), rng.choices(range(2000), k=5000)
    expected = [len(grams[one] & grams[other]) / len(grams[one] | grams[other]) for one, other in zip(left, right, strict=True)]
    assert jaccard_index(sets, np.array(left), np.array(right)) == pytest.approx(expected)
