"""The live page: what is served, its errors against cost, and the share that a manager sends to people."""

from __future__ import annotations

import re

import numpy as np

from preceptor.monitoring.answer_confidence import get_threshold, store_calibration
from preceptor.monitoring.response_log import ResponseLog
from preceptor.statistics import token_features


def served(project):
    """Forty answers of a calibrated model, thirty of them judged by ann."""
    rng = np.random.default_rng(0)
    tokens = [-rng.exponential(0.3, size=4) for _ in range(200)]
    right = [float(rng.random() < np.exp(each.mean())) for each in tokens]
    store_calibration(project, "m-1", [token_features(each) for each in tokens], right, [f"g-{k}" for k in range(200)], "a test")
    for number in range(40):
        turns, how = [{"role": "user", "content": f"ask {number}"}], {"confidence": 0.5 + number / 90, "inclusion": 0.5}
        ResponseLog(project).log_response(f"chatcmpl-{number}", model="m-1", alias="support" * (number % 2), turns=turns, text="so", **how)


def test_a_manager_sees_how_good_answers_are_and_what_people_cost(site):
    served(site.project)
    owner = site.client("mia", "owner")
    assert "40 wait for people" in owner.get("/manage/live?name=m-1").text
    site.project.add_annotator("ann")
    while (work := site.project.next("ann")).question == "live-good":
        site.project.submit(work.slot, "ann", "bad" if work.item.endswith("0") else "good")
    page = owner.get("/manage/live?name=m-1").text
    assert "40 judged" in page
    assert "Errors among what the model answers itself" in page
    assert "Send this share to people" in page
    reader = site.program("read").get("/manage/live?name=m-1").text
    assert "Send this share to people" not in reader
    assert "Take care" not in page
    features, right = np.random.default_rng(0).normal(size=(200, 3)), [0.0, 1.0] * 100
    store_calibration(site.project, "m-1", features, right, [str(each) for each in range(200)], "a test")
    assert "Take care:</strong> its confidence may say nothing" in owner.get("/manage/live?name=m-1").text


def test_the_share_chosen_is_the_threshold_from_then_on(site):
    served(site.project)
    owner = site.client("mia", "owner")
    token = re.search(r'name="csrf" value="([^"]+)"', owner.get("/manage/live?name=m-1").text)[1]
    for wrong in ({"name": "m-1", "share": "much"}, {"name": "m-1", "share": "2"}):
        assert owner.post("/manage/live", data={"csrf": token, **wrong}).status_code == 422
    assert get_threshold(site.project, "m-1") is None
    assert owner.post("/manage/live", data={"csrf": token, "name": "m-1", "share": "0.2"}).status_code == 303
    chosen = get_threshold(site.project, "m-1")
    assert 0.3 < chosen < 0.9
    assert f"below a confidence of {chosen:.2f}" in owner.get("/manage/live?name=m-1").text


def test_a_name_that_nothing_stands_for_is_not_found(site):
    served(site.project)
    assert site.client("mia", "owner").get("/manage/live?name=nobody").status_code == 404


def test_nothing_was_called_yet(site):
    assert "Nothing was called" in site.client("mia", "owner").get("/manage/live").text
    assert get_threshold(site.project, "m-1") is None
