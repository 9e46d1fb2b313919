"""Metrics against the libraries that define them, and what a section makes of them."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from preceptor.errors import UserError
from preceptor.evaluation.metrics.metric import MetricMeasurement, metrics, named_metrics
from preceptor.evaluation.metrics.translation import compute_bleu, compute_chrf
from preceptor.evaluation.suites import generation_section
from preceptor.evaluation.suites.generation import estimate_figure
from preceptor.reporting.page_elements import METRIC_DISPLAYS

WORDS = ["the", "a", "cat", "dog", "sat", "on", "under", "mat", "house", "quickly", "ran", "away", "two", "small", "birds", ",", ".", "!"]


def sentences(seed, count=40, longest=14):
    rng = random.Random(seed)
    return [" ".join(["so", *rng.choices(WORDS, k=rng.randint(1, longest))]) for _ in range(count)]


def measured(name, texts, references, answers, **options):
    (metric,) = named_metrics([{"name": name, **options}]).values()
    return metric.measure(texts, answers(texts, references).prompts)


def figure(name, texts, references, answers, **options):
    (metric,) = named_metrics([{"name": name, **options}]).items()
    return generation_section(answers(texts, references), dict([metric]), title="t")["figures"][name]


@pytest.mark.parametrize("options", [{}, {"lowercase": True}, {"tokenize": "char"}])
@pytest.mark.parametrize("longest", [2, 14])
def test_bleu_is_sacrebleus(options, longest, answers):
    texts, references = sentences(1, longest=longest), sentences(2, longest=longest)
    texts[:10] = references[:10]
    wanted = BLEU(**options).corpus_score(texts, [references]).score / 100
    assert figure("bleu", texts, references, answers, **options).value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("word_order", [0, 2])
def test_chrf_is_sacrebleus(word_order, answers):
    texts, references = sentences(3), sentences(4)
    wanted = CHRF(word_order=word_order).corpus_score(texts, [references]).score / 100
    assert figure("chrf", texts, references, answers, word_order=word_order).value == pytest.approx(wanted, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=4), st.integers(0, 40), st.integers(0, 40))
def test_bleu_of_any_sums_is_sacrebleus(orders, said, wanted):
    possible = [max(pair) for pair in orders]
    hits = [min(pair) for pair in orders]
    sums = np.array([said, wanted, *hits, *possible], dtype=float)
    known = BLEU()._compute_score_from_stats([said, wanted, *hits, *possible]).score / 100
    assert float(compute_bleu(sums)) == pytest.approx(known, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=6, max_size=6))
def test_chrf_of_any_sums_is_sacrebleus(orders):
    sums = [part for said, wanted, common in orders for part in (said, wanted, min(said, wanted, common))]
    assert float(compute_chrf(np.array(sums, dtype=float))) == pytest.approx(CHRF()._compute_f_score(sums) / 100, abs=1e-12)


@pytest.mark.parametrize("key", ["bleu", "chrf", "rouge_1", "rouge_2", "rouge_l", "exact_match", "token_f1"])
def test_a_perfect_answer_is_at_the_end_of_the_scale_on_which_the_page_draws_it(key, answers):
    """The page drew BLEU, a share of 1, on a scale to 100."""
    texts = ["the cat sat on the mat", "two small birds ran away"]
    assert figure(key, texts, texts, answers).value == pytest.approx(METRIC_DISPLAYS[key].limits[1])


def test_rouge_by_hand(answers):
    texts, references = ["the cat sat"], ["the cat sat on the mat"]
    assert figure("rouge_1", texts, references, answers).value == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert figure("rouge_2", texts, references, answers).value == pytest.approx(2 * 1 * 0.4 / 1.4)
    assert figure("rouge_l", ["mat cat the sat"], ["the cat sat"], answers).value == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    assert figure("rouge_1", ["cats walking"], ["cat walks"], answers, stemmer=True).value == 1


def test_rouge_of_another_script_is_counted_and_gets_no_figure(answers):
    texts, references = ["Берлин", "Berlin"], ["Берлин", "Berlin"]
    section = generation_section(answers(texts, references), named_metrics(["rouge_1", "exact_match"]), title="t")
    assert set(section["figures"]) == {"exact_match"}
    assert section["not_measured"] == {"rouge_1": {"rows": 1, "ids": ["0"]}}
    assert section["summary"] == ["rouge_1 couldn't be computed for 1 of 2 answers (0), so it has no figure here."]
    assert figure("rouge_1", texts, references, answers, any_language=True).value == 1


def test_exact_match_can_overlook_case_and_punctuation(answers):
    texts, references = ["Yes.", "no", " maybe\n"], ["yes", "no", "maybe"]
    assert figure("exact_match", texts, references, answers).value == pytest.approx(2 / 3)
    assert figure("accuracy", texts, references, answers, ignore_case=True, ignore_punctuation=True).value == 1
    assert figure("token_f1", ["the small cat"], ["a cat"], answers).value == pytest.approx(2 / 3)


def test_macro_f1_counts_each_label_alike(answers):
    texts = ["a"] * 8 + ["b", "perhaps b"]
    references = ["a"] * 8 + ["b", "b"]
    # a: 1; b: one of two found, none wrong: 2/3
    assert figure("macro_f1", texts, references, answers).value == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("name", ["bleu", "chrf", "macro_f1", "rouge_l"])
def test_intervals_widen_where_answers_of_a_group_go_together(name, answers):
    texts, references = sentences(5, 60), sentences(6, 60)
    for start in range(0, 60, 6):
        if start % 12:
            texts[start : start + 6] = references[start : start + 6]
    metric = named_metrics([name])[name]
    widths = []
    for groups in (None, [str(row // 6) for row in range(60)]):
        found = answers(texts, references, groups=groups)
        estimate = estimate_figure(metric.measure(found.texts, found.prompts), [asked.group for asked in found.prompts])
        assert estimate.low < estimate.value < estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[1] > 1.3 * widths[0]


def test_the_interval_of_bleu_holds_its_confidence(answers):
    """Corpora of 60 answers drawn from a world of 3,000 whose BLEU is known: 200 of them, so 0.95 ± 0.03 two times in three."""
    world_texts, world_references = sentences(7, 3000), sentences(8, 3000)
    for row in range(0, 3000, 3):
        world_texts[row] = world_references[row]
    whole = measured("bleu", world_texts, world_references, answers)
    truth = float(whole.figure(whole.columns.sum(axis=0)))
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        rows = rng.integers(3000, size=60)
        estimate = estimate_figure(MetricMeasurement(whole.columns[rows], whole.figure), [str(row) for row in range(60)])
        held.append(estimate.low <= truth <= estimate.high)
    assert 0.90 <= np.mean(held) <= 0.99


def test_a_hundred_thousand_answers_take_seconds(answers):
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 20, size=(100_000, 10)).astype(float)
    clusters = [str(row // 2) for row in range(100_000)]
    started = time.perf_counter()
    estimate_figure(MetricMeasurement(columns, compute_bleu), clusters)
    assert time.perf_counter() - started < 30  # 2 s on an idle core


def test_one_group_alone_has_no_interval(answers):
    found = answers(["a b c d e"], ["a b c d f"])
    estimate = generation_section(found, named_metrics(["bleu"]), title="t")["figures"]["bleu"]
    assert (estimate.low, estimate.high) == (0, 1)
    assert estimate.method.startswith("no interval")


def test_the_worst_answers_come_first(answers):
    section = generation_section(answers(["x", "a b", "a"], ["a", "a b", "a b"]), named_metrics(["token_f1", "bleu"]), title="t")
    assert [example["answer"] for example in section["examples"]] == ["x", "a", "a b"]
    assert section["examples"][0] | {"prompt": "question 0", "reference": "a", "values": {"token_f1": 0.0}} == section["examples"][0]
    assert "nrefs:1" in section["signatures"]["bleu"]


def test_what_cannot_be_measured_is_told(answers):
    with pytest.raises(UserError, match="without a metric measures nothing"):
        generation_section(answers(["a"], ["a"]), {}, title="t")
    with pytest.raises(UserError, match="no answers to measure"):
        generation_section(answers([], []), named_metrics(["bleu"]), title="t")
    with pytest.raises(UserError, match=r"1 of 2 prompts have no reference answer, which bleu needs \(first: '1'\)"):
        generation_section(answers(["a", "b"], ["a", None]), named_metrics(["bleu"]), title="t")


def test_a_metric_of_ones_own_enters_by_the_same_door(answers):
    from preceptor.registry import OptionsBase

    @metrics.register("short", options=OptionsBase)
    class Short:
        needs_reference = False

        def __init__(self, options=None):
            pass

        def measure(self, texts, prompts):
            return MetricMeasurement(np.array([[float(len(text) < 5) if text else np.nan] for text in texts]))

    try:
        section = generation_section(answers(["yes", "hardly ever", ""]), named_metrics(["short"]), title="t")
        assert section["figures"] == {}
        assert section["not_measured"]["short"]["ids"] == ["2"]
        assert generation_section(answers(["yes", "hardly"]), named_metrics(["short"]), title="t")["figures"]["short"].value == 0.5
    finally:
        del metrics._known["short"]
