"""Planning a live question: what is said can be had, is priced, and comes to a page."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.runs.judgment_plan import plan_judgments as planned
from preceptor.runs.plan_page import judgments_summary, render_plan_page
from preceptor.testing.simulated_annotators import simulate_crowd

ANSWERS = ["answer-00000", "answer-00001", "answer-00002"]


@pytest.fixture
def asked(tmp_path):
    """120 items, 100 of them with two judgments each by some of 12 people; four more may follow about each."""
    project = Project.create(tmp_path / "p", redundancy={"max_judgments": 6}, cost={"judgment": 0.2, "currency": "EUR"})
    project.add_question("q", "choice", ANSWERS)
    project.add_items({"id": f"item-{n:05}", "text": f"text {n} like no other"} for n in range(120))
    crowd = simulate_crowd(items=100, per_item=2, seed=4)
    for item, person, answer in zip(crowd.item, crowd.annotator, crowd.answer, strict=True):
        project.add_annotator(person)
        project.judge(item, "q", annotator=person, answer=answer)
    yield project
    project.close()


def test_a_plan_starts_where_the_question_stands(asked):
    plan = asked.plan("q")
    consensus = asked.consensus("q")
    unjudged = plan.items - len(consensus.items)
    assert unjudged == 20
    assert (plan.today.judgments, plan.today.cost) == (200, pytest.approx(40))
    assert 1 / 3 < plan.today.share_right.value <= (consensus.certainty.sum() + unjudged) / plan.items
    assert (plan.judgment_count, plan.cost) == (100, pytest.approx(20))
    assert plan.gain.low <= plan.gain.value <= plan.gain.high
    assert plan.gain.value > 0.05
    assert [cost for cost, _ in plan.past_certainty] == [10, 20, 30]
    certainties = [certainty for _, certainty in plan.past_certainty]
    assert certainties == sorted(certainties)
    assert plan.curve[-1].judgments == 400


def test_the_same_judgments_give_the_same_plan(asked):
    assert asked.plan().to_dict() == asked.plan("q").to_dict()


def test_where_everything_is_asked_nothing_can_be_bought(project):
    project.add_items({"id": f"i-{n}", "text": f"text {n} like no other"} for n in range(6))
    for n in range(6):
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(f"i-{n}", "sentiment", annotator=person, answer="positive")
    plan = project.plan()
    assert (plan.judgment_count, plan.cost, plan.gain.value, len(plan.curve)) == (0, 0, 0, 1)
    assert judgments_summary(plan).startswith("Nothing more can be asked")


def test_a_rating_votes_for_the_class_it_lies_in(tmp_path):
    project = Project.create(tmp_path / "p")
    project.add_question("mood", "rating", [-2, -1, 0, 1, 2], cuts=[-0.5, 0.5], labels=["bad", "so-so", "good"])
    project.add_items({"id": f"i-{n}", "text": f"text {n} like no other"} for n in range(30))
    for n in range(30):
        for k, person in enumerate("abc"):
            project.add_annotator(person)
            project.judge(f"i-{n}", "mood", annotator=person, answer=max(-2, min(2, n % 3 * 2 - 2 + (n + k) % 3 - 1)))
    project.add_annotator("d")
    plan = project.plan("mood", 10)
    assert plan.today.share_right.value == pytest.approx(float(project.consensus("mood").certainty.mean()), abs=1e-6)
    assert plan.judgment_count == 0
    project.close()


def test_the_page_is_whole_and_shows_today(asked, tmp_path):
    plan = asked.plan("q")
    plan.save_html(tmp_path / "plan.html")
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert "http:" not in page
    assert "https:" not in page
    picture = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    assert "today" in [part.text for part in picture.iter() if part.tag == "text"]
    assert "20.00 EUR" in page.replace("\u00a0", " ")


def test_a_plan_needs_judgments(project):
    project.add_items([{"id": "a", "text": "some text"}])
    with pytest.raises(UserError, match="nobody has judged"):
        project.plan()
    with pytest.raises(UserError, match="buy nothing"):
        project.plan(judgments=0)


def test_people_and_kinds_have_prices_of_their_own(tmp_path):
    project = Project.create(tmp_path / "p", cost={"judgment": 1.0, "kinds": {"choice": 2.0}, "annotators": {"expert": 8.0}})
    project.add_question("q", "choice", ANSWERS)
    project.add_items({"id": f"i-{n}", "text": f"text {n} like no other"} for n in range(4))
    project.add_annotator("ann")
    for n in range(4):
        project.judge(f"i-{n}", "q", annotator="ann", answer=ANSWERS[0])
    project.add_annotator("expert")
    for n in range(2):
        project.judge(f"i-{n}", "q", annotator="expert", answer=ANSWERS[0])
    assert project.status()["cost"]["judgments"] == 24
    plan = project.plan("q", 2)
    assert plan.today.cost == 24
    assert (plan.judgment_count, plan.cost) == (2, 8)  # four each on average
    project.close()


def leave_points(project, snapshot, sizes, way="linear_probe", seconds=2.0, error=lambda size: 0.9 * size**-0.25):
    """What `choose` leaves of a curve: a file a run."""
    folder = project.folder / "runs" / f"choose-{snapshot.digest[:12]}"
    rows = sum(1 for _ in snapshot.rows("validation"))
    folder.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        for seed in range(3):
            right = (np.arange(rows) >= round(error(size) * rows + (seed - 1) / 2)).astype(int).tolist()
            kept = {"right": right, "loss": [0.5] * rows, "seconds": seconds, "answering": 0.1}
            (folder / f"{way}-0a1b2c3d-{size}-{seed}.json").write_text(json.dumps(kept))


@pytest.fixture
def measured(asked):
    """The same project with a snapshot and a whole curve of it; some 70 items are training rows."""
    snapshot = asked.snapshot("q", name="v1")
    leave_points(asked, snapshot, [5, 10, 20, 40, sum(1 for _ in snapshot.rows("train"))])
    return asked


def test_without_a_curve_it_says_how_to_measure_one(asked):
    plan = asked.plan("q")
    assert (plan.forecasts, plan.allocation) == ((), None)
    assert "preceptor snapshot create q --name v1, then preceptor learning-curve v1" in plan.advice
    asked.snapshot("q", name="v2")
    assert "preceptor learning-curve v2 --method linear_probe" in asked.plan("q").advice


def test_a_measured_curve_is_forecast_and_put_beside_people(measured):
    plan = measured.plan("q", 60)
    (outlook,) = plan.forecasts
    assert outlook.method.name == "linear_probe"
    assert list(outlook.forecasts) == [2 * outlook.method.curve.measured.largest, 4 * outlook.method.curve.measured.largest]
    assert [way.name for way in plan.allocation.options] == ["more rows", "more judgments a row", "more machine time"]
    assert plan.allocation.cost == pytest.approx(12)
    assert plan.advice == ""
    document = plan.to_dict()
    assert document["learning"][0]["backtest"]["passed"]
    json.dumps(document, allow_nan=False)
    page = render_plan_page(plan)
    assert page.count("<svg") == 2
    assert "What more rows would do" in page
    assert "linear_probe" in page


def test_sizes_beyond_four_times_are_refused(measured):
    with pytest.raises(UserError, match="more than 4 times"):
        planned(measured, "q", 10, [10_000])


def test_a_curve_with_runs_missing_isnt_shown(measured):
    next((measured.folder / "runs").rglob("linear_probe-*-40-1.json")).unlink()
    next((measured.folder / "runs").rglob("linear_probe-*-40-2.json")).unlink()
    assert not measured.plan("q").forecasts


def test_the_way_that_the_newest_model_learnt_is_the_one_to_better(measured):
    sizes = sorted({int(path.stem.split("-")[2]) for path in (measured.folder / "runs").rglob("linear_probe-*.json")})
    leave_points(measured, measured.load_snapshot("v1"), sizes, way="full", seconds=90.0, error=lambda size: 0.3 * size**-0.25)
    buying = measured.plan("q").allocation
    assert "full in place of linear_probe: 90 s" in buying.options[2].summary
    assert buying.options[2].gain.low > 0
