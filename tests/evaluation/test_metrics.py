import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.evaluation import classification_estimates, confusion_matrix, paired_classification_estimates, reliability_points

ANSWERS = ["no", "maybe", "yes"]
# four items by hand: the model answers no, yes, yes, maybe; the people say no, yes, maybe, maybe
BY_HAND = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]])
TRUTH = np.array([0, 2, 1, 1])
GROUPS = ["a", "a", "b", "c"]


def world(seed, documents=60, k=3, per_document=12, skill=1.4, shared=0.8):
    """Probabilities, truth and documents; items of a document share how hard they are for the model."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(documents), per_document)
    truth = rng.integers(k, size=len(groups))
    strength = skill + shared * rng.normal(size=documents)[groups]
    logits = rng.normal(size=(len(groups), k)) + strength[:, None] * np.eye(k)[truth]
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True), truth, groups


def test_figures_match_a_count_by_hand():
    found = classification_estimates(BY_HAND, TRUTH, GROUPS, answers=ANSWERS)
    assert found["accuracy"].value == 3 / 4
    # no: 2·1/(1+1); maybe: 2·1/(1+2); yes: 2·1/(2+1)
    assert found["macro_f1"].value == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert found["log_loss"].value == pytest.approx(-(math.log(0.7) + math.log(0.8) + math.log(0.3) + math.log(0.5)) / 4)
    squares = [0.3**2 + 0.2**2 + 0.1**2, 0.1**2 + 0.1**2 + 0.2**2, 0.1**2 + 0.7**2 + 0.6**2, 0.2**2 + 0.5**2 + 0.3**2]
    assert found["brier"].value == pytest.approx(sum(squares) / 4)
    assert all(estimate.n == 3 for estimate in found.values()), "n counts documents, not items"


def brute_force_f1(answered, true):
    scores = []
    for answer in set(answered) | set(true):
        hits = sum(a == t == answer for a, t in zip(answered, true, strict=True))
        precision, recall = hits / max(1, answered.count(answer)), hits / max(1, true.count(answer))
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return sum(scores) / len(scores)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_macro_f1_is_the_mean_over_answers_that_occur(pairs):
    answered, true = [a for a, _ in pairs], [t for _, t in pairs]
    found = classification_estimates(0.1 + 0.6 * np.eye(4)[answered], true, range(len(pairs)), answers="abcd")
    assert found["macro_f1"].value == pytest.approx(brute_force_f1(answered, true))
    assert 0 <= found["macro_f1"].low <= found["macro_f1"].high <= 1


def test_a_perfectly_calibrated_model_shows_no_calibration_error():
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet((1, 1, 1), size=4000)
    truth = (probabilities.cumsum(axis=1) < rng.random(4000)[:, None]).sum(axis=1)
    found = classification_estimates(probabilities, truth, np.arange(4000), answers=ANSWERS)["ece"]
    assert found.low == 0
    assert found.value < 0.02
    overstated = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    found = classification_estimates(overstated, truth, np.arange(4000), answers=ANSWERS)["ece"]
    assert found.low > 0.1


def test_intervals_know_that_rows_of_a_document_hang_together():
    probabilities, truth, groups = world(0, documents=40, per_document=20, shared=1.5)
    clustered = classification_estimates(probabilities, truth, groups, answers=ANSWERS)
    alone = classification_estimates(probabilities, truth, np.arange(len(truth)), answers=ANSWERS)
    for name in ("accuracy", "macro_f1", "log_loss", "brier"):
        assert clustered[name].value == pytest.approx(alone[name].value)
        assert clustered[name].high - clustered[name].low > 1.3 * (alone[name].high - alone[name].low), name


def test_accuracy_and_macro_f1_hold_their_confidence():
    """200 worlds of 30 documents: the 95 % intervals hold the long-run figures about 95 times in 100 (binomial ±3 sd: .90)."""
    truths = [classification_estimates(*world(1_000 + k, documents=300), answers=ANSWERS) for k in range(6)]
    long_run = {name: np.mean([found[name].value for found in truths]) for name in ("accuracy", "macro_f1")}
    held = dict.fromkeys(long_run, 0)
    for seed in range(200):
        found = classification_estimates(*world(seed, documents=30), answers=ANSWERS)
        for name, value in long_run.items():
            held[name] += found[name].low <= value <= found[name].high
    assert all(0.90 <= number / 200 <= 0.99 for number in held.values()), held


def test_a_paired_difference_is_narrower_than_two_intervals_apart():
    probabilities, truth, groups = world(1)
    flatter = 0.8 * probabilities + 0.2 / 3
    difference = paired_classification_estimates(probabilities, flatter, truth, groups)
    assert difference["accuracy"].value == 0
    assert difference["log_loss"].value == pytest.approx(
        classification_estimates(probabilities, truth, groups, answers=ANSWERS)["log_loss"].value
        - classification_estimates(flatter, truth, groups, answers=ANSWERS)["log_loss"].value
    )
    separate = classification_estimates(probabilities, truth, groups, answers=ANSWERS)["log_loss"]
    assert difference["log_loss"].high - difference["log_loss"].low < 0.5 * (separate.high - separate.low)


def test_the_order_of_a_pair_is_its_sign():
    probabilities, truth, groups = world(2)
    worse, _, _ = world(3)
    forward, back = (
        paired_classification_estimates(probabilities, worse, truth, groups),
        paired_classification_estimates(worse, probabilities, truth, groups),
    )
    assert forward["accuracy"].low > 0
    assert forward["log_loss"].high < 0
    for name in forward:
        assert (back[name].value, back[name].low) == pytest.approx((-forward[name].value, -forward[name].high))


def test_confusion_counts_people_in_rows_and_the_model_in_columns():
    assert confusion_matrix(BY_HAND, TRUTH, ANSWERS) == {"answers": ANSWERS, "counts": [[1, 0, 0], [0, 1, 1], [0, 0, 1]]}


def test_reliability_counts_each_item_once():
    probabilities, truth, _ = world(4)
    points = reliability_points(probabilities, truth)
    assert sum(point["count"] for point in points) == len(truth)
    assert [point["confidence"] for point in points] == sorted(point["confidence"] for point in points)
    right = sum(point["accuracy"] * point["count"] for point in points) / len(truth)
    assert right == pytest.approx((probabilities.argmax(axis=1) == truth).mean())


def test_the_same_seed_gives_the_same_figures():
    assert classification_estimates(*world(5), answers=ANSWERS) == classification_estimates(*world(5), answers=ANSWERS)


@pytest.mark.parametrize(
    ("probabilities", "truth", "message"),
    [
        ([[0.5, math.nan, 0.5]], [0], "not a distribution"),
        ([[0.5, 0.5, 0.5]], [0], "not a distribution"),
        ([[0.5, 0.2, 0.3]], [3], "outside 0 to 2"),
        ([[0.5, 0.2, 0.3]], [0, 1], "2 true classes for 1 rows"),
        ([[0.5, 0.5]], [0], "3 answers for probabilities of 2 columns"),
    ],
)
def test_what_does_not_fit_is_refused(probabilities, truth, message):
    with pytest.raises(UserError, match=message):
        classification_estimates(probabilities, truth, ["a"], answers=ANSWERS)
