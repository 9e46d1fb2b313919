"""Word overlap, and the passage of long sources that a claim has to do with."""

from __future__ import annotations

import numpy as np

from preceptor.evaluation.claims import PASSAGE_GAP, find_passage
from preceptor.evaluation.judges import JudgeCase
from preceptor.evaluation.judges.claim_judges import OverlapJudge
from preceptor.retrieval.text_analysis import extract_stems

POLICY = (
    "Home cover starts on 1 May. Theft from a locked car is covered up to £1,500. Bicycles are covered if they were locked. "
    "Flood damage is excluded. Claims must reach us within 30 days."
)


def test_what_the_sources_say_scores_higher_than_what_they_dont():
    judge = OverlapJudge()
    cases = [
        JudgeCase(text, (POLICY,))
        for text in ("Theft from a car is covered up to £1500.", "Dentists are free on Sundays.", "Flood is covered.")
    ]
    scores = judge.scores(cases)
    assert scores.tolist() == [1.0, 0.0, 1.0]  # and it doesn't see what is excluded


def test_nothing_to_compare_is_no_verdict():
    assert np.isnan(OverlapJudge().scores([JudgeCase("It is.", (POLICY,)), JudgeCase("…", ())])).all()
    assert OverlapJudge().scores([JudgeCase("Theft.", ())]).tolist() == [0.0]
    assert OverlapJudge().scores([]).shape == (0,)


def test_a_passage_holds_what_the_claim_is_about():
    assert find_passage("Locked bicycles are covered.", (POLICY,), words=12) == "Bicycles are covered if they were locked."
    both = find_passage("Bicycles are covered, claims within 30 days.", (POLICY,), words=20)
    assert both == f"Bicycles are covered if they were locked.{PASSAGE_GAP}Claims must reach us within 30 days."
    assert find_passage("Dentists.", (POLICY,)) == ""
    assert find_passage("Dentists.", ()) == ""


def test_a_sentence_without_end_is_cut():
    found = find_passage("whale", ("whale " * 500,), words=50)
    assert len(found.split()) == 101
    assert found.endswith("…")


def test_numbers_are_whole_and_words_are_not():
    assert extract_stems("Payments of 1,500.50 covered") == ("paymen", "1500.50", "covere")
    assert extract_stems("The payment covers it") == ("paymen", "cover")
