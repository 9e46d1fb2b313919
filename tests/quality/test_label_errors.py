"""Label errors: planted ones come first and are counted, with an interval that holds what it says."""

import numpy as np
import pytest
from scipy.special import softmax

from preceptor.errors import UserError
from preceptor.quality.label_errors import assign_confident_labels, class_thresholds, confident_joint, find_label_errors, suspicion_scores
from preceptor.training.logistic_regression import predict_out_of_fold

NOISE = np.array([[0.9, 0.1, 0.0], [0.0, 0.95, 0.05], [0.15, 0.05, 0.8]])  # row: what it is; column: what is said
ANSWERS = ("a", "b", "c")


def world(seed, rows, apart=4.0, noise=NOISE):
    """Points around three centres, the answers they have and those that are said."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    points = rng.normal(size=(rows, 5)) + apart * np.eye(5)[truth]
    said = np.array([rng.choice(3, p=noise[each]) for each in truth])
    return points, truth, said


def test_the_paper_s_joint_by_hand():
    """Thresholds are means of what is given (eq. 2), rows count where they reach one (eq. 1), and rows are scaled to answers (eq. 3)."""
    model = np.array([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6]])
    people = np.eye(2)[[0, 0, 0, 1, 1]]
    assert class_thresholds(people, model).tolist() == pytest.approx([0.5, 0.7])
    assert assign_confident_labels(people, model).tolist() == [0, 0, 1, 1, -1]
    assert confident_joint(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, -1]), 2) == pytest.approx(np.array([[0.4, 0.2], [0, 0.4]]))


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_noise_matrix_is_recovered(seed):
    points, truth, said = world(seed, 4_000)
    found = find_label_errors(said, predict_out_of_fold(points, said, seed=seed).probabilities, ANSWERS)
    joint = np.zeros((3, 3))
    np.add.at(joint, (said, truth), 1 / len(said))
    assert np.abs(found.joint - joint).max() < 0.012
    assert found.joint.sum() == pytest.approx(1)
    worst = {(pair.given_label, pair.likely_label) for pair in found.confusions[:3]}
    assert worst == {("b", "a"), ("a", "c"), ("c", "b")}


@pytest.mark.parametrize("apart", [2.5, 6.0])
def test_the_interval_of_wrong_labels_covers_what_is_wrong(apart):
    """200 worlds, each with its own models out of fold; the nearer classes are, the more of the models' own mistakes the joint counts."""
    expected = (1 - np.diag(NOISE)) @ [0.5, 0.3, 0.2]
    covered, joint = [], []
    for seed in range(200):
        points, _, said = world(seed, 500, apart=apart)
        model = predict_out_of_fold(points, said, seed=seed, penalty=0.03)
        found = find_label_errors(said, model.probabilities, ANSWERS, folds=model.fold)
        covered.append(found.error_rate.low <= expected <= found.error_rate.high)
        joint.append(1 - np.trace(found.joint) - expected)
    assert 0.92 <= np.mean(covered) <= 0.99
    if apart == 2.5:
        assert np.mean(joint) > 0.008


def test_rows_of_one_group_count_as_one():
    points, _, said = world(0, 400)
    copies = np.repeat(np.arange(400), 5)
    groups = [f"g{each}" for each in copies]
    model = predict_out_of_fold(points, said).probabilities
    alone, repeated = (
        find_label_errors(said, model, ANSWERS).error_rate,
        find_label_errors(said[copies], model[copies], ANSWERS, groups=groups).error_rate,
    )
    assert abs(repeated.n - alone.n) < 12
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low, rel=0.3)


@pytest.mark.parametrize("rank", ["margin", "self_confidence"])
def test_planted_errors_come_first(rank):
    points, truth, said = world(1, 2_000)
    found = find_label_errors(said, predict_out_of_fold(points, said).probabilities, ANSWERS, rank=rank)
    wrong = said != truth
    assert wrong[found.order[: wrong.sum()]].mean() > 0.85
    assert (np.diff(found.score[found.order]) <= 0).all()
    assert {doubt.row for doubt in found.suspects} <= set(range(2_000))


def test_doubt_among_people_is_no_contradiction():
    """People in two minds between two answers aren't contradicted by a model that takes one of them; sure ones are."""
    people = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.8, 0.2, 0], [0.5, 0.5, 0]])
    model = np.array([[0.1, 0.9, 0], [0.1, 0.9, 0], [0.1, 0.9, 0], [0, 0, 1.0]])
    for rank in ("margin", "self_confidence"):
        sure, torn, leaning, third = suspicion_scores(people, model, rank)
        assert torn == pytest.approx(0)
        assert sure > leaning > torn
        assert third > torn


def test_what_is_said_of_a_row():
    people, model = np.array([[1.0, 0], [1.0, 0], [0, 1.0]]), np.array([[0.02, 0.98], [0.9, 0.1], [0.1, 0.9]])
    found = find_label_errors(people, model, ("yes", "no"))
    doubt = found.suspect_at(0)
    assert (doubt.given_label, doubt.predicted_label, doubt.row) == ("yes", "no", 0)
    assert doubt.reason == "people say 'yes' (100 %), the model 'no' (98 %; 'yes' 2 %)"
    assert found.suspect_at(1).reason == "people say 'yes' (100 %), and the model agrees (90 %)"
    assert found.order.tolist()[0] == 0


def test_an_answer_that_the_model_never_saw_is_left_alone():
    model = softmax(np.random.default_rng(0).normal(size=(30, 3)), axis=1)
    said = np.array([0, 1] * 14 + [2, 2])
    known = said != 2
    found = find_label_errors(said, model, ANSWERS, known=known)
    assert (found.score[~known] == 0).all()
    assert not {doubt.row for doubt in found.suspects} & {28, 29}


def test_a_model_that_knows_nothing_accuses_nobody():
    rng = np.random.default_rng(0)
    said = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
    found = find_label_errors(said, predict_out_of_fold(rng.normal(size=(300, 8)), said).probabilities, ANSWERS)
    assert not found.informative
    assert (found.suspects, found.confusions, found.error_rate.low, found.error_rate.high) == ((), (), 0, 1)
    assert found.summary.startswith("the model tells these answers no better than always saying the commonest one")


def test_a_set_without_errors_has_an_interval_that_begins_at_none():
    found = find_label_errors([0, 1] * 50, np.eye(2)[[0, 1] * 50], ("a", "b"))
    assert (found.error_rate.value, found.error_rate.low) == (0, 0)
    assert 0 < found.error_rate.high < 0.2
    assert not found.suspects
    assert not found.confusions


@pytest.mark.parametrize(
    ("targets", "model", "answers", "told"),
    [
        ([0, 1], [[0.5, 0.5]], ("a", "b"), "2 true classes"),
        ([0], [[0.7, 0.7]], ("a", "b"), "not a distribution"),
        ([0], [[0.5, 0.5]], ("a", "b", "c"), "3 answers"),
        ([5], [[0.5, 0.5]], ("a", "b"), "outside"),
    ],
)
def test_what_does_not_fit_is_refused(targets, model, answers, told):
    with pytest.raises(UserError, match=told):
        find_label_errors(targets, model, answers)


def test_rows_that_no_model_knows_are_refused():
    with pytest.raises(UserError, match="the answer of no row"):
        find_label_errors([0, 1], [[0.5, 0.5], [0.5, 0.5]], ("a", "b"), known=[False, False])
