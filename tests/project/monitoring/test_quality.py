"""Live quality holds what it says: the interval covers what all answers are worth, whoever complains and whatever the guesses are."""

from __future__ import annotations

import numpy as np

from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.monitoring.live_quality import ResponseVerdict, estimate_good_share, measure_live_quality, queue_sampled_responses
from preceptor.monitoring.live_report import build_live_report
from preceptor.monitoring.response_log import LoggedResponse
from preceptor.monitoring.user_feedback import UserFeedback


def served_many(rng, n=1500, share=0.1):
    """Answers of which every tenth is drawn; confidence says something, and customers complain of bad ones four times as often.

    (good (n,), kept, said, judged); two thirds of the drawn ones have been judged so far.
    """
    good = rng.random(n) < 0.8
    sure = np.clip(rng.beta(6, 2, n) * np.where(good, 1.0, 0.6), 0.01, 0.99)
    spoke = rng.random(n) < np.where(good, 0.1, 0.4)
    said = {f"a-{k}": float(good[k]) for k in np.flatnonzero(spoke)}
    drawn = rng.random(n) < share
    kept = [
        LoggedResponse(
            f"a-{k}",
            "m",
            "",
            None,
            {"messages": [{"role": "user", "content": f"ask {k}"}]},
            float(sure[k]),
            share * bool(drawn[k]),
            k,
            None,
        )
        for k in range(n)
    ]
    judged = [
        ResponseVerdict(f"i-{k}", f"a-{k}", "m", "", f"g-{k}", float(good[k]), share, float(sure[k]), (), k, k)
        for k in np.flatnonzero(drawn & (rng.random(n) < 0.67)).tolist()
    ]
    return good, kept, said, judged


def test_the_interval_covers_what_all_answers_are_worth():
    covered, widths, naive = [], [], []
    for seed in range(100):
        good, kept, said, judged = served_many(np.random.default_rng(seed))
        truth = 0.8  # of answers like these; those served are a sample of them
        found = estimate_good_share(judged, kept, said)
        covered.append([each.low <= truth <= each.high for each in found])
        widths.append([each.high - each.low for each in found])
        naive.append(np.mean(list(said.values())) - good.mean())
    share = np.mean(covered, axis=0)
    assert (share >= 0.89).all(), "95 of 100, within what 100 runs can tell"
    assert np.mean(widths, axis=0)[0] < 0.9 * np.mean(widths, axis=0)[1], "guesses make it narrower"
    assert np.mean(naive) < -0.2, "what customers say alone would be far off"


def test_answers_count_by_how_rarely_their_like_was_drawn():
    """A share that was changed meanwhile: quiet hours drawn at 50 %, busy ones at 5 %, and answers worse in busy ones."""
    covered, plain = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        busy = rng.random(4000) < 0.8
        good, chance = rng.random(4000) < np.where(busy, 0.6, 0.9), np.where(busy, 0.05, 0.5)
        judged = [
            ResponseVerdict(f"i-{k}", f"a-{k}", "m", "", f"g-{k}", float(good[k]), float(chance[k]), None, (), k, k)
            for k in np.flatnonzero(rng.random(4000) < chance).tolist()
        ]
        found, alone = estimate_good_share(judged, [], {})
        assert found == alone
        covered += found.low <= 0.66 <= found.high
        plain.append(np.mean([each.good_share for each in judged]))
    assert covered >= 89
    assert np.mean(plain) > 0.75


def test_from_answers_to_the_figure(shop, served):
    for number in range(40):
        served(shop, number, inclusion=0.25 if number < 30 else 0.0, alias="support:production" if number % 2 else "")
        if number % 4 == 0:
            UserFeedback(shop).submit(f"chatcmpl-{number}", "thumb", "up", by="app")
    assert queue_sampled_responses(shop) + 8 == 30, "eight of them were said something of, and are there already"
    shop.add_annotator("ann")
    while (work := shop.next("ann")) is not None and work.question == "live-good":
        shop.submit(work.slot, "ann", "bad" if work.item.endswith(("1", "2")) else "good")
    found = measure_live_quality(shop)
    assert (found.sampled_count, found.judged_count, found.good_share_judged_only.value) == (30, 30, 24 / 30)
    assert found.good_share.low < 0.8 < found.good_share.high
    assert measure_live_quality(shop, "support:production").judged_count == 15
    told = build_live_report(shop).to_dict()
    assert {each["name"] for each in told["served"]} == {"m-1", "support:production"}
    assert told["feedback"] == {"thumb": 10}
    assert all(each["calibration"] is None for each in told["served"])


def test_what_nobody_got_is_no_answer(shop, served):
    """A draft that a person answered in place of says nothing of what programs get; nor does half an answer, whose caller was gone."""
    for number in range(20):
        served(shop, number, inclusion=0.5, confidence=0.2 if number < 8 else 0.9)
        if number < 8:
            DeferredAnswers(shop).defer(f"chatcmpl-{number}", "m-1", [{"role": "user", "content": f"{number}?"}], "No.", 0.2, 1, 600.0)
    served(shop, 20, inclusion=0.0, hung_up=True, confidence=0.0)
    queue_sampled_responses(shop)
    shop.add_annotator("ann")
    while (work := shop.next("ann", "live-good")) is not None:
        shop.submit(work.slot, "ann", "bad" if int(work.item.rpartition("-")[2]) < 8 else "good")
    found = measure_live_quality(shop)
    assert (found.sampled_count, found.judged_count, found.good_share_judged_only.value) == (12, 12, 1.0)
