"""Figures beside the pages: fresh in a small project, old but told so in a slow one, a fault as a fault."""

import threading
import time

import pytest

from preceptor.errors import UserError
from preceptor.project.figures import figures as module
from preceptor.project.figures.figures import Figures


def test_figures_follow_the_judgments(judged, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT", 600.0)
    monkeypatch.setattr(module, "SHORT", 600.0)  # else a busy machine makes it a slow figure, which may lag
    figures = Figures(judged)
    first = figures.get("landscape", "sentiment")
    assert figures.get("landscape", "sentiment") is first
    judged.judge("i-0", "sentiment", annotator="cleo", answer="neutral")
    second = figures.get("landscape", "sentiment")
    assert second is not first
    assert second.until == first.until + 1
    assert len(second.value.standing.columns[0]) == 121
    judged.retract("ann", by="me", reason="why not")
    assert len(figures.value("landscape", "sentiment").standing.columns[0]) == 61
    judged.add_gold("sentiment", {"i-0": "neutral"})
    assert figures.value("landscape", "sentiment").standing.gold == {"i-0": "neutral"}


def test_a_slow_figure_shows_what_was_and_then_what_is(judged, monkeypatch):
    going, computed = threading.Event(), []

    def slow(figures, question):
        computed.append(question)
        going.wait(120)
        return len(computed)

    monkeypatch.setitem(module._FIGURES, "landscape", slow)
    monkeypatch.setattr(module, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(module, "SHORT", 0.0)
    figures = Figures(judged)
    assert figures.get("landscape", "sentiment") is None
    assert figures.get("landscape", "sentiment") is None  # and it isn't computed twice
    going.set()
    while (found := figures.get("landscape", "sentiment")) is None:
        time.sleep(0.01)
    assert (found.value, found.newest) == (1, True)
    going.clear()
    judged.judge("i-0", "sentiment", annotator="cleo", answer="neutral")
    old = figures.get("landscape", "sentiment")
    assert (old.value, old.newest) == (1, False)
    going.set()
    while not (found := figures.get("landscape", "sentiment")).newest:
        time.sleep(0.01)
    assert found.value == 2
    assert computed == ["sentiment"] * 2


def test_a_fault_is_kept_and_raised_until_it_is_mended(project):
    figures = Figures(project)
    assert figures.get("landscape", "sentiment").fault is not None
    for name in ("agreement", "quality", "landscape", "plan"):
        with pytest.raises(UserError, match="nobody has judged"):
            figures.value(name, "sentiment")
    project.add_items([{"id": "a", "text": "a"}])
    project.judge("a", "sentiment", annotator="ann", answer="neutral")
    assert len(figures.value("landscape", "sentiment")) == 1
    assert figures.value("certainty", "sentiment") == {"agreement": None, "audit": None}


def test_a_fault_of_ours_reaches_the_page(judged, monkeypatch):
    monkeypatch.setitem(module._FIGURES, "landscape", lambda figures, question: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Figures(judged).get("landscape", "sentiment")


def test_a_figure_that_is_old_with_nothing_new_doesnt_lag(judged, monkeypatch):
    """Forecasts hold for a time only; while one was made again it was said to rest on some of the judgments, though it rested on all."""
    going = threading.Event()
    going.set()
    monkeypatch.setitem(module._FIGURES, "finish", lambda figures, question: going.wait(10))
    monkeypatch.setattr(module, "FRESH", 0.0)
    monkeypatch.setattr(module, "SHORT", 0.0)
    figures = Figures(judged)
    until = figures.get("finish", "sentiment").until
    going.clear()
    time.sleep(0.3)
    old = figures.get("finish", "sentiment")
    assert (old.until, old.newest) == (until, True)
    judged.judge("i-0", "sentiment", annotator="cleo", answer="neutral")
    assert not figures.get("finish", "sentiment").newest
    going.set()
