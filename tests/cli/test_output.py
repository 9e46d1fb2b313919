"""Documents as text for people."""

from __future__ import annotations

from preceptor.cli.output import as_text, progress_bar, table
from preceptor.domain import Estimate
from preceptor.recipes import Progress


def test_documents_are_indented_lines():
    document = {"name": "p", "empty": [], "none": None, "parts": [{"a": 1, "b": "x"}], "inner": {"c": 1, "d": {"e": 2, "f": 3}}}
    assert as_text(document).splitlines() == [
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


def test_an_estimate_stands_on_one_line():
    document = {"agreement": Estimate(0.5, 0.4, 0.6, 20, "alpha (nominal)").to_dict()}
    assert as_text(document) == "agreement: 0.500 [0.400, 0.600] (n = 20, alpha (nominal))"


def test_an_estimate_without_bounds_says_so():
    document = {"agreement": {**Estimate(0.5, 0.4, 0.6, 1, "alpha").to_dict(), "low": None, "high": None}}
    assert as_text(document) == "agreement: 0.500 [unknown, unknown] (n = 1, alpha)"


def test_tables_align():
    assert table(("name", "n"), [("long name", 1), ("x", 22)]) == "name       n\nlong name  1\nx          22"


def test_progress_is_a_line_a_stage_where_there_is_no_terminal(capsys):
    with progress_bar() as tell:
        for done in range(3):
            tell(Progress("training", done, 3))
        tell(Progress("evaluating", 0, 1))
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "training …\nevaluating …\n")
