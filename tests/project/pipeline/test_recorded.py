"""Recorded people: what they say, in which order, and which texts are left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.pipeline.demo import RATERS_PER_TEXT, VADER_FILES, code_sentiment, read_recorded_judgments


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files in the form of the recorded sets: 2 documents with enough ratings, one text with too few, one with many."""
    ratings = {"1_1": [n % 9 - 4 for n in range(20)], "1_2": [2] * 20, "2_1": [1] * 14, "3": [4] * 60 + [-4] * 20}
    truth = "".join(f"{item}\t0.5\ttext of {item}\n" for item in ratings)
    rated = "".join(f"{item}\t0.5\t0.1\t{json.dumps(given)}\n" for item, given in ratings.items())
    (tmp_path / f"{VADER_FILES['amazon']}_GroundTruth.txt").write_text("\ufeff" + truth, encoding="utf-8")
    (tmp_path / f"{VADER_FILES['amazon']}_anonDataRatings.txt").write_text("\ufeff" + rated.replace("\n", "\r\n"), encoding="utf-8")
    return tmp_path


def test_texts_have_groups_and_twenty_ratings_each(folder):
    recorded = read_recorded_judgments(folder, "amazon")
    assert recorded.rows == [
        {"id": "1_1", "text": "text of 1_1", "group": "1"},
        {"id": "1_2", "text": "text of 1_2", "group": "1"},
        {"id": "3", "text": "text of 3", "group": "3"},
    ]
    assert recorded.excluded_count == 1
    assert recorded.rating_matrix(["1_1", "3"]).shape == (2, RATERS_PER_TEXT)
    assert sorted(recorded.answers["1_1"].tolist()) == sorted(n % 9 - 4 for n in range(20))
    assert recorded.true_answers()["1_2"] == "positive"


def test_a_seed_gives_the_same_people_in_the_same_order(folder):
    first, again, other = (read_recorded_judgments(folder, "amazon", seed=seed) for seed in (1, 1, 2))
    assert [first.get_answer("1_1", k) for k in range(RATERS_PER_TEXT)] == [again.get_answer("1_1", k) for k in range(RATERS_PER_TEXT)]
    assert not np.array_equal(first.answers["1_1"], other.answers["1_1"])
    assert sum(first.answers["3"] == 4) != sum(other.answers["3"] == 4) or not np.array_equal(first.answers["3"], other.answers["3"])


def test_classes_of_means_are_as_the_question_has_them():
    from preceptor.consensus.panel_rating import PanelRating

    means = np.concatenate([np.arange(-80, 81) / 20, [-0.5, 0.5, np.mean([0.1] * 10) * 5]])
    method = PanelRating(PanelRating.Options(scale=tuple(range(-4, 5)), cuts=(-0.5, 0.5), labels=("a", "b", "c")))
    assert np.array_equal(code_sentiment(means), method.classes(means))


def test_an_unknown_set_is_told(folder):
    with pytest.raises(UserError, match="no recorded data is called 'books'"):
        read_recorded_judgments(folder, "books")
