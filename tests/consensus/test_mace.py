"""MACE: spammers are found by their favourite answer, and the objective climbs."""

import numpy as np
import pytest

from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.em import VoteCells, build_truths
from preceptor.consensus.mace import MaceEM
from preceptor.testing import simulate_crowd


@pytest.mark.parametrize("gold", [0, 10])
def test_every_step_climbs_by_what_it_promises(gold):
    crowd = simulate_crowd(items=60)
    j = Judgments.from_columns(**crowd.columns)
    spam = MaceEM(build_truths(j, dict(list(crowd.truth.items())[:gold])), VoteCells.from_judgments(j, by_answer=True), 3.0, 1.0, 1.0)
    params = spam.initial_params()
    for _ in range(10):
        found = spam.step(params)
        params = found.next_params
        assert spam.step(params).objective >= found.objective + found.expected_gain - 1e-9


def test_spammers_and_their_favourites_are_found():
    crowd = simulate_crowd(items=400, skill=(20, 2))
    columns = crowd.columns
    columns["annotator"] = ["person-00000" if row % 10 == 0 else name for row, name in enumerate(columns["annotator"])]
    columns["answer"] = [
        "answer-00002" if name == "person-00000" else answer for name, answer in zip(columns["annotator"], columns["answer"], strict=True)
    ]
    c = aggregate(Judgments.from_columns(**columns), "mace")
    habits = c.annotators.model
    assert habits.knows[0] < 0.1 < 0.6 < habits.knows[1:].min()
    assert habits.says[0].argmax() == 2
    assert c.annotators["person-00000"].confusion[0, 2] > 0.8


def test_on_dense_data_mace_is_about_as_good_as_dawid_skene():
    figures = []
    for seed in range(3):
        crowd = simulate_crowd(items=500, annotators=20, per_item=8, seed=seed)
        j = Judgments.from_columns(**crowd.columns)
        truth = np.array([j.answers.index(crowd.truth[item]) for item in j.items])
        figures.append([(aggregate(j, method).posterior.argmax(axis=1) == truth).mean() for method in ("mace", "dawid_skene")])
    mace, dawid_skene = np.mean(figures, axis=0)
    assert mace == pytest.approx(dawid_skene, abs=0.01)
