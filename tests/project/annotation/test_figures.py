"""Figures beside the pages: fresh in a small project, old but told so in a slow one, a fault as a fault."""

import threading
import time

import pytest

from preceptor.annotation import dashboard as module
from preceptor.annotation.dashboard import DashboardCache
from preceptor.errors import UserError


def test_figures_follow_the_judgments(judged, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_WAIT_SECONDS", 600.0)
    monkeypatch.setattr(module, "_SHORT_SECONDS", 600.0)  # else a busy machine makes it a slow figure, which may lag
    figures = DashboardCache(judged)
    first = figures.get("landscape", "sentiment")
    assert figures.get("landscape", "sentiment") is first
    judged.add_annotator("cleo")
    judged.judge("i-0", "sentiment", annotator="cleo", answer="neutral")
    second = figures.get("landscape", "sentiment")
    assert second is not first
    assert second.newest_judgment == first.newest_judgment + 1
    assert len(second.value.judgment_set.columns[0]) == 121
    judged.retract("ann", by="me", reason="why not")
    assert len(figures.get_value("landscape", "sentiment").judgment_set.columns[0]) == 61
    judged.add_gold("sentiment", {"i-0": "neutral"})
    assert figures.get_value("landscape", "sentiment").judgment_set.gold == {"i-0": "neutral"}


def test_a_slow_figure_shows_what_was_and_then_what_is(judged, monkeypatch):
    going, computed = threading.Event(), []

    def slow(figures, question):
        computed.append(question)
        going.wait(120)
        return len(computed)

    monkeypatch.setitem(module._METRICS, "landscape", slow)
    monkeypatch.setattr(module, "_FIRST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(module, "_SHORT_SECONDS", 0.0)
    figures = DashboardCache(judged)
    assert figures.get("landscape", "sentiment") is None
    assert figures.get("landscape", "sentiment") is None  # and it isn't computed twice
    going.set()
    while (found := figures.get("landscape", "sentiment")) is None:
        time.sleep(0.01)
    assert (found.value, found.is_current) == (1, True)
    going.clear()
    judged.add_annotator("cleo")
    judged.judge("i-0", "sentiment", annotator="cleo", answer="neutral")
    old = figures.get("landscape", "sentiment")
    assert (old.value, old.is_current) == (1, False)
    going.set()
    while not (found := figures.get("landscape", "sentiment")).is_current:
        time.sleep(0.01)
    assert found.value == 2
    assert computed == ["sentiment"] * 2


def test_a_fault_is_kept_and_raised_until_it_is_mended(project):
    figures = DashboardCache(project)
    assert figures.get("landscape", "sentiment").error is not None
    for name in ("agreement", "quality", "landscape", "plan"):
        with pytest.raises(UserError, match="nobody has judged"):
            figures.get_value(name, "sentiment")
    project.add_items([{"id": "a", "text": "a"}])
    project.add_annotator("ann")
    project.judge("a", "sentiment", annotator="ann", answer="neutral")
    assert len(figures.get_value("landscape", "sentiment")) == 1
    assert figures.get_value("certainty", "sentiment") == {"agreement": None, "audit": None}


def test_a_fault_of_ours_reaches_the_page(judged, monkeypatch):
    monkeypatch.setitem(module._METRICS, "landscape", lambda figures, question: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        DashboardCache(judged).get("landscape", "sentiment")


def test_a_figure_that_is_old_with_nothing_new_doesnt_lag(judged, monkeypatch):
    """Forecasts hold for a time only; while one was made again it was said to rest on some of the judgments, though it rested on all."""
    going = threading.Event()
    going.set()
    monkeypatch.setitem(module._METRICS, "finish", lambda figures, question: going.wait(10))
    monkeypatch.setattr(module, "_MAX_AGE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_SHORT_SECONDS", 0.0)
    figures = DashboardCache(judged)
    until = figures.get("finish", "sentiment").newest_judgment
    going.clear()
    time.sleep(0.3)
    old = figures.get("finish", "sentiment")
    assert (old.newest_judgment, old.is_current) == (until, True)
    judged.add_annotator("cleo")
    judged.judge("i-0", "sentiment", annotator="cleo", answer="neutral")
    assert not figures.get("finish", "sentiment").is_current
    going.set()
