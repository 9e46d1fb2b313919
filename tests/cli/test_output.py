"""Documents as text for people."""

from __future__ import annotations

import re

from preceptor import Estimate
from preceptor.cli.output import ProgressMeter, format_document, format_table, progress_bar
from preceptor.config import CostOptions
from preceptor.training import TrainingProgress


def test_documents_are_indented_lines():
    document = {"name": "p", "empty": [], "none": None, "parts": [{"a": 1, "b": "x"}], "inner": {"c": 1, "d": {"e": 2, "f": 3}}}
    assert format_document(document).splitlines() == [
        "name: p",
        "empty: none",
        "none: none",
        "parts:",
        "  - a: 1",
        "    b: x",
        "inner:",
        "  c: 1",
        "  d:",
        "    e: 2",
        "    f: 3",
    ]


def test_a_moment_is_a_day_and_a_minute():
    told = format_document({"created": 1.8e9, "deadline": None})
    assert re.fullmatch(r"created: 2027-01-1\d \d\d:\d\d\ndeadline: none", told)


def test_an_estimate_stands_on_one_line():
    document = {"agreement": Estimate(0.5, 0.4, 0.6, 20, "alpha (nominal)").to_dict()}
    assert format_document(document) == "agreement: 0.500 [0.400, 0.600] (n = 20, alpha (nominal))"


def test_an_estimate_without_bounds_says_so():
    document = {"agreement": {**Estimate(0.5, 0.4, 0.6, 1, "alpha").to_dict(), "low": None, "high": None}}
    assert format_document(document) == "agreement: 0.500 [unknown, unknown] (n = 1, alpha)"


def test_tables_align():
    assert format_table(("name", "n"), [("long name", 1), ("x", 22)]) == "name       n\nlong name  1\nx          22"


def test_progress_is_a_line_a_stage_where_there_is_no_terminal(capsys):
    with progress_bar() as tell:
        for done in range(3):
            tell(TrainingProgress("training", done, 3))
        tell(TrainingProgress("evaluating", 0, 1))
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "training …\nevaluating …\n")


def test_what_training_costs_and_how_long_it_takes_is_told(capsys):
    """A line where validation was measured: losses, speed, time left, and the cost of all stages so far."""
    figures = {"tokens_per_second": 1234.0, "texts_per_second": 7.0, "seconds": 1800.0, "seconds_left": 90.0}
    with progress_bar(CostOptions(machine_hour=2.0)) as tell:
        tell(TrainingProgress("trying", 9, 9, {"seconds": 1800.0}))
        tell(TrainingProgress("training", 5, 20, figures))
        tell(TrainingProgress("training", 6, 20, {**figures, "training_loss": 1.5, "validation_loss": 1.25}))
        tell(TrainingProgress("training", 7, 20, {**figures, "training_loss": 1.5, "validation_loss": 1.25}))
    assert capsys.readouterr().err.replace("\u00a0", " ").splitlines() == [
        "trying …",
        "training …",
        "training: step 6 of 20, 1 min 30 s left, training loss 1.500, validation loss 1.250, 1,234 tokens/s, $2.00 so far",
    ]


def test_pieces_are_told():
    step = TrainingProgress("training", 5, 20, {"tokens_at_once": 160.0, "texts_per_second": 7.0})
    assert ProgressMeter(None).figures(step) == "7 texts/s, at most 160 tokens at once, for want of memory"
