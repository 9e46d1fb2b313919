"""The five stories: each can be told from its beginning to its report, on real data, and says what it lacks."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor import UserError
from preceptor.reporting.report import Report

EXAMPLES = Path(__file__).parents[2] / "examples"
STORIES = ("finance", "health", "legal", "sentiment", "support")
ON_FILES = tuple(name for name in STORIES if name != "sentiment")  # whose data come from PyPI
LONGEST = 3600


@pytest.fixture
def story_of(monkeypatch):
    """Imports a story as `python examples/NAME.py` would."""

    def load(name):
        monkeypatch.syspath_prepend(str(EXAMPLES))
        spec = importlib.util.spec_from_file_location(f"story_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("_stories", None)


@pytest.fixture(scope="module")
def told(shared_data, tmp_path_factory):
    """Tells a story by its command; what it printed, and the folder of its reports."""

    def tell(name, folder=None):
        out = folder or tmp_path_factory.mktemp(name)
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--out", str(out)]
        environment = {**os.environ, "PRECEPTOR_DATA": str(shared_data)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=LONGEST)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "What a real team still has to do" in done.stdout
        assert "In short" in done.stdout
        return done.stdout, out

    return tell


def report_of(out, name="report"):
    """A story's report, whose page is there too, and whose figures all have intervals."""
    assert (out / f"{name}.html").stat().st_size > 10_000
    report = Report.from_document(json.loads((out / f"{name}.json").read_text(encoding="utf-8")))
    assert all(found.low <= found.value <= found.high for found in report.estimates.values())
    return report


def bounds_of(report):
    """The gate's bounds, each with how it stands."""
    return {bound["bound"]: bound["state"] for bound in report.document["release"]["bounds"]}


@pytest.mark.parametrize("name", STORIES)
def test_a_story_can_be_imported_says_how_it_is_run_and_is_short(name, story_of):
    module = story_of(name)
    assert f"python examples/{name}.py" in module.__doc__
    assert callable(module.story)
    assert (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").count("\n") < 200


@pytest.mark.parametrize("name", ON_FILES)
def test_without_its_data_a_story_says_where_they_were_looked_for_and_makes_nothing(name, story_of, tmp_path, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="nowhere") as error:
        story_of(name).story(tmp_path / "out")
    assert "PRECEPTOR_DATA" in error.value.hint
    assert not (tmp_path / "out").exists()


def test_figures_of_reports_are_compared_by_value_sign_and_scale(story_of):
    numbers = story_of("finance").numbers
    assert numbers("$1,571.7 million") == numbers("1571.7 Million")
    assert numbers("(310) thousand") == numbers("-310 thousand") != numbers("310 thousand")
    assert numbers("20 %") == numbers("20 percent") != numbers("20")
    assert numbers("Bell Media") == numbers("bell media ")


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
def test_support_finds_wrong_labels_and_answers_that_break_the_policy(told):
    said, out = told("support")
    report, answers = report_of(out), report_of(out, "answers")
    assert {"accuracy.low >= 0.8", "macro_f1.low >= 0.7"} <= set(bounds_of(report))
    assert report.estimates["accuracy"].value > 0.8
    assert answers.estimates["violations"].value == pytest.approx(0.2, abs=0.04)
    caught = next(line for line in said.splitlines() if "planted ones that were caught" in line)
    assert float(caught.split("[")[0].split()[-1]) > 0.95


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
def test_health_takes_maybe_seriously_and_prints_no_rate_without_peoples_verdicts(told):
    said, out = told("health")
    report, selective, written = (report_of(out, name) for name in ("report", "selective", "written"))
    assert bounds_of(report)["accuracy.low >= 0.8"] != "met"
    assert "found of maybe" in said
    assert selective.estimates["selective_risk"].value <= selective.estimates["error"].value
    assert "hallucination" not in written.estimates
    assert written.document["suites"]["faithfulness"]["looks"]["waiting"] > 0
    assert "violations" in written.estimates


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
def test_legal_sets_few_shot_beside_tuned_and_learns_from_corrections(told):
    said, out = told("legal")
    report, drafts = report_of(out), report_of(out, "drafts")
    assert "missed" in bounds_of(report).values(), "six examples a question don't suffice, and the gate says so"
    assert drafts.estimates["tuned_minus_base_token_f1"].low > 0
    assert "simulated" in said
    assert "tuned minus few-shot" in said
    assert "violations.high <= 0.01" in bounds_of(drafts)


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
def test_finance_counts_figures_that_are_exactly_right(told):
    _, out = told("finance")
    report, tables = report_of(out), report_of(out, "tables")
    assert report.estimates["accuracy"].low > 0.6
    assert tables.estimates["figures.same_number"].value >= tables.estimates["figures.exact_match"].value
    assert "retention" in tables.estimates


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
def test_sentiment_asks_a_part_of_the_people_and_a_second_telling_says_the_same(told):
    said, out = told("sentiment")
    report = report_of(out)
    assert bounds_of(report)["accuracy.low >= 0.72"] == "met"
    again, _ = told("sentiment", out)
    assert again.partition("In short")[2].splitlines()[:8] == said.partition("In short")[2].splitlines()[:8]
