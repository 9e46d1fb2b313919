"""The page tells what a policy was rewarded for, and shows its answers as text."""

import html
import re

import pytest

from preceptor import Estimate
from preceptor.reporting.html_page import render_report


def estimate(value, half):
    return Estimate(value, value - half, value + half, 40, "t").to_dict()


def sample(text, reward, **more):
    return {"id": "r1", "prompt": "user: <b>Which kettle?</b>", "text": text, "reward": reward, "parts": {"exact": reward}, **more}


@pytest.fixture
def rewarded(document):
    looks = [
        {"step": 0, "reward": 0.2, "kl": 0.0, "length": 31.4, "distinct": 0.97},
        {"step": 1200, "reward": 0.65, "kl": 2.5, "length": 12.0, "distinct": 0.91},
    ]
    about = {
        "reward": {"base": estimate(0.2, 0.1), "now": estimate(0.65, 0.1), "change": estimate(0.45, 0.12)},
        "looks": looks,
        "samples": {
            "best": [sample("Ours.", 1.0)],
            "median": [sample("", 0.5)],
            "worst": [sample("<script>alert(1)</script>", 0.0, ended=False)],
        },
    }
    return {**document, "training": {**document.get("training", {}), **about}}


def section(document):
    found = re.search(r'<section id="reinforcement".*?</section>', render_report(document), re.DOTALL)
    return found[0] if found else ""


def words(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).replace("\u00a0", " ").split())


def test_the_reward_before_and_now_is_told_with_intervals(rewarded):
    told = words(section(rewarded))
    assert "earned 0.200 (0.100 to 0.300) from the base and earn 0.650 (0.550 to 0.750) now" in told
    assert "+0.450 (+0.330 to +0.570), beyond chance" in told


def test_the_best_middle_and_worst_answers_are_shown_as_text(rewarded):
    page = section(rewarded)
    assert "<script>" not in page
    told = words(page)
    assert "One of the best: earned 1.000 (exact 1.000)." in told
    assert "answered (nothing) One of the middle: earned 0.500" in told
    assert "answered <script>alert(1)</script> One of the worst: earned 0.000 (exact 0.000), cut off." in told
    assert told.index("One of the best") < told.index("One of the middle") < told.index("One of the worst")


def test_looks_stand_in_a_table_and_the_judge_where_there_was_one(rewarded):
    told = words(section(rewarded))
    assert "1,200 0.650 2.500 12 91 %" in told
    assert "judge" not in told
    rewarded["training"]["looks"][1]["judge"] = -1.25
    assert "1,200 0.650 −1.250 2.500 12 91 %" in words(section(rewarded))


def test_a_stop_by_the_guard_is_told(rewarded):
    rewarded["training"]["stopped"] = {"sign": "falls", "summary": "The judge fell."}
    rewarded["training"]["reward"]["change"] = estimate(0.01, 0.12)
    told = words(section(rewarded))
    assert "stopped the training, and the last good weights were kept: The judge fell." in told
    assert "which may be chance" in told


def test_a_model_that_was_not_rewarded_has_no_such_section(document):
    assert section(document) == ""
