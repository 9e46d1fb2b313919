"""The page's sections about decisions, slices, the last release, suites and limits say what their figures show, and no more."""

import copy
import html
import re

import pytest

from preceptor import Estimate
from preceptor.reporting.html_page import render_report


def text_of(page):
    found = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(found).replace("\u00a0", " ").split())


def section(page, start):
    """The words of the section whose id begins so."""
    found = re.search(rf'<section id="{start}.*?</section>', page, re.DOTALL)
    return text_of(found[0]) if found else ""


def verdict(document):
    page = render_report(document)
    return text_of(page[page.index("<header>") : page.index("<nav")])


def estimate(value, half, n=60):
    return Estimate(value, value - half, value + half, n, "t").to_dict()


@pytest.fixture
def decided(document):
    return {**document, "decisions": [{"by": "boss", "created": 1_760_000_900, "decision": "overridden: two customers", "note": "a week"}]}


def test_an_override_stands_first_with_who_and_why(decided):
    words = verdict(decided)
    assert words.index("Released against the gate") < words.index("Calibration error must be")
    assert "boss let it out on 2025-10-09 09:08 UTC, for this reason: “two customers”. The gate says: not proven yet" in words
    assert "overridden: two customers a week" in section(render_report(decided), "release")


@pytest.mark.parametrize(
    ("decision", "state", "words"),
    [
        ("released", "met", "Released: every bound is met boss let it out"),
        ("released", "undecided", "Released on an earlier report. Not proven yet"),
        ("missed", "missed", "Not released. Not good enough"),
        ("missed", "met", "Good enough: every bound is met"),
        ("released without bounds: a trial", "unbounded", "Released without bounds, by somebody's decision boss let it out"),
        ("unbounded", "unbounded", "Not released. No verdict: no bound says what is good enough"),
    ],
)
def test_the_last_decision_is_the_headline(decided, decision, state, words):
    decided["decisions"].append({"by": "boss", "created": 1, "decision": decision, "note": ""})
    assert words in verdict({**decided, "release": {**decided["release"], "decision": state}})


def test_each_bound_stands_in_the_verdict_with_its_outcome(document):
    words = verdict(document)
    assert "met Accuracy must be at least 0.72; it is 0.784" in words
    assert "not enough evidence yet Calibration error must be at most 0.05" in words


def test_what_would_settle_an_open_bound_is_told(document):
    need = {"figure": "ece", "units": 124, "summary": "Calibration error: about 124 more groups (620 judgments, $24.80)."}
    page = render_report({**document, "release": {**document["release"], "needs": [need]}})
    assert "about 124 more groups (620 judgments, $24.80)" in section(page, "release")


def test_a_change_without_an_interval_claims_nothing(document):
    part = copy.deepcopy(document)
    part["previous"]["figures"]["accuracy"]["difference"] = {**estimate(0.1, 0.1), "low": None, "high": None}
    assert "No change in accuracy is shown: +10.0 points, interval unknown" in section(render_report(part), "previous")


def test_slices_are_called_worse_only_where_corrected(document):
    words = section(render_report(document), "slices")
    assert "Worse than the rest of the rows: language: de." in words
    assert "length: longest third" not in words.split("Holm")[0]
    assert "2 more have fewer than 30 rows or 10 groups" in words
    calm = copy.deepcopy(document)
    calm["slices"]["found"][0]["worse"] = False
    assert "Of 4 slices none is shown to be worse" in section(render_report(calm), "slices")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.1, "Accuracy has risen by 10.0 points (plausibly +8.0 to +12.0)."),
        (-0.1, "has fallen by 10.0 points"),
        (0.01, "No change in accuracy"),
    ],
)
def test_the_last_release_is_told_by_its_interval(document, value, words):
    part = copy.deepcopy(document)
    part["previous"]["figures"]["accuracy"]["difference"] = estimate(value, 0.02)
    found = section(render_report(part), "previous")
    assert words in found
    assert "702 same test rows; 42 rows that only this one" in found


def test_without_rows_in_common_nothing_is_compared(document):
    previous = {"model": "m-1", "by": "ann", "decision": "released", "rows": 0, "why": "its report kept no rows"}
    words = section(render_report({**document, "previous": previous}), "previous")
    assert "can't be compared row by row: its report kept no rows" in words
    assert "points" not in words


def test_a_suite_shows_its_figures_and_marks_the_passage(document):
    page = render_report(document)
    found = section(page, "suite-0-faithfulness")
    assert "Measured on 1,000 answers." in found
    assert "People found it contradicted; the judge gives it 0.03." in found
    assert "<mark>It is waterproof to 50 metres.</mark> Enjoy your swim!" in page
    assert "<mark>Acme</mark>" in page
    assert "<mark>&lt;script&gt;alert(&#39;claim&#39;)&lt;/script&gt;</mark>" in page
    assert "Names no competitor grave 2 of 90 2.0 % (1.0 to 3.0) Promises no refund minor 0 of 0 –" in section(page, "suite-1-manners")
    assert "names a competitor" in section(page, "suite-1-manners").lower()
    assert "checks of faithfulness 400 $31.50 without the judge $20.00" in section(page, "cost")


def test_a_suites_bound_is_drawn_at_its_figure(document):
    part = copy.deepcopy(document)
    part["release"]["bounds"].append({"figure": "faithfulness.hallucination", "needs": 0.05, "bound": "x <= 0.05", "state": "met"})
    assert "bound 5.0 %" in render_report(part).replace("\u00a0", " ")


@pytest.mark.parametrize(
    "marks",
    [
        [{"start": 4, "end": 2}],
        [{"start": 0, "end": 99}],
        [{"start": "0", "end": 3}],
        [None],
        [{"start": 0, "end": 4}, {"start": 2, "end": 6}],
    ],
)
def test_marks_that_do_not_fit_mark_nothing_else(document, marks):
    part = copy.deepcopy(document)
    part["suites"]["manners"]["examples"][0]["marks"] = marks
    page = render_report(part)
    assert "Acme's is better." in text_of(page).replace("Acme 's", "Acme's")


def limits(document, **changed):
    return section(render_report({**document, **changed}), "limits")


def test_limits_name_what_was_not_measured(document):
    words = limits(document)
    assert "Forgetting: what training left" in words
    assert "BLEU of the suite selective_prediction: it couldn't be computed for 3 answers" in words
    assert "60 independent groups" in words
    assert "94.1 % certain" in words
    assert "Hallucination: no suite" not in words, "a classifier's answers claim nothing"
    assert "judged other models" not in words
    used = {"house": {"others": 2.0, "rows": 8, "of": 8}}
    assert "8 of these 8 prompts of the suite house had judged other models" in limits(document, openings=used)
    assert "validation rows, by which training chose" in limits(document, split={"name": "validation", "openings": 1})


def test_limits_of_a_model_that_writes_name_the_suites_that_are_missing(text_document):
    words = limits(text_document)
    assert "Hallucination: no suite checked" in words
    assert "Safety and policy: no suite checked" in words
    assert "2 test rows that the model can't read weren't measured" in words
    assert limits(text_document, suites={"a": {"kind": "faithfulness", "figures": {}}}).count("no suite checked") == 1
    assert "The suite a has no figure yet" in limits(text_document, suites={"a": {"kind": "faithfulness", "figures": {}}})


def test_recorded_answers_alone_have_a_verdict(document):
    words = verdict({"suites": document["suites"]})
    assert "The answers are measured; no bound decides about them" in words
    assert "Hallucination: Of 100 claims 4 have no support." in words
