"""`preceptor release --check` and `--queue`: what a release would meet, what would settle it, and asking for that."""

from __future__ import annotations

import json

import pytest

from preceptor import Estimate
from preceptor.config import ProjectConfig
from preceptor.release import gate
from preceptor.runs import evaluation, suite_runner
from preceptor.storage import artifacts, events, questions, slots

ANSWERS = ("negative", "neutral", "positive")


def gated(project, **gate):
    project.config = ProjectConfig.parse({**json.loads(project.config.model_dump_json()), "gate": gate}, of="the test")
    project.config.save(project.folder)


def report(modelled, value=0.8, half=0.02, n=20, **sections):
    figure = Estimate(value, value - half, value + half, n, "made up")
    document = {"models": {"tuned": {"accuracy": figure}}, "parity": {"passed": True}, "question": {"name": "sentiment"}, **sections}
    return evaluation.store_report(modelled.project, modelled.model, modelled.snapshot, document, "test")


def log(project):
    with project.database.reading() as connection:
        return list(events.read_events(connection))


def decided(project):
    with project.database.reading() as connection:
        return artifacts.list_releases(connection)


def command(run, modelled, *args):
    return run("release", "m-1234", *args, "--project", modelled.project.folder)


def test_a_check_decides_and_keeps_nothing(modelled, run):
    gated(modelled.project, bounds=["accuracy.low >= 0.7"])
    report(modelled)
    before = len(log(modelled.project))
    ran = command(run, modelled, "--check", "--json")
    assert ran.code == 0
    assert (ran.document["passed"], ran.document["decision"]) == (True, "met")
    assert (len(log(modelled.project)), decided(modelled.project)) == (before, [])


@pytest.mark.parametrize(("value", "half", "state", "words"), [(0.6, 0.02, "missed", "missed"), (0.72, 0.1, "undecided", "not enough")])
def test_a_check_exits_3_where_a_bound_is_missed_or_open(modelled, run, value, half, state, words):
    gated(modelled.project, bounds=["accuracy.low >= 0.7"])
    report(modelled, value, half)
    ran = command(run, modelled, "--check", "--json")
    assert (ran.code, ran.document["decision"]) == (3, state)
    told = command(run, modelled, "--check")
    assert told.code == 3
    assert f"accuracy  accuracy.low >= 0.7  {value - half:.3f}" in told.out
    assert words in told.out
    assert decided(modelled.project) == []


def test_an_open_bound_says_how_many_judgments_and_what_they_cost(modelled, run):
    """20 groups of 3 rows with 2 judgments each: what 480 more groups would want."""
    gated(modelled.project, bounds=["accuracy.low >= 0.7"])
    report(modelled, 0.72, 0.1)
    (need,) = command(run, modelled, "--check", "--json").document["needs"]
    assert need["units"] == 480
    assert need["rows"] == pytest.approx(480 * 3, rel=0.5), "groups of three, of which duplicates may be tied"
    assert need["judgments"] == 2 * need["rows"]
    assert need["cost"] == pytest.approx(0.05 * need["judgments"])
    assert "no such item waits here" in need["summary"]
    assert "doesn't narrow it" in need["summary"]


def test_queueing_asks_about_the_test_side_first_and_not_twice(modelled, run):
    project = modelled.project
    gated(project, bounds=["accuracy.low >= 0.7"])
    report(modelled, 0.78, 0.1)
    project.add_items({"id": f"new-{n}", "text": f"something new, number {n}", "group": f"new-{n}"} for n in range(100))
    ran = command(run, modelled, "--queue", "--by", "boss", "--json")
    assert ran.code == 3, "nothing is decided by asking"
    (queued,) = ran.document["queued"]
    assert 5 <= queued["asked"] <= 30
    assert command(run, modelled, "--queue", "--json").document["queued"][0]["items"] == queued["items"]
    project.add_annotator("zoe")
    assert project.next("zoe", "sentiment").item in queued["items"]
    assert [event["actor"] for event in log(project) if event["kind"] == "evidence asked for"] == ["boss", "system"]
    project.add_annotator("ann")
    for item in queued["items"]:
        project.judge(item, "sentiment", annotator="ann", answer="neutral")
    tests = {row.id for row in project.snapshot("sentiment", name="v2").rows("test")}
    assert set(queued["items"]) <= tests, "the side of a group is known before anybody has answered"


def test_queueing_asks_for_no_more_than_is_wanted(modelled, run):
    gated(modelled.project, bounds=["accuracy.low >= 0.7"])
    report(modelled, 0.79, 0.0935, n=200)
    modelled.project.add_items({"id": f"new-{n}", "text": f"something new, number {n}", "group": f"new-{n}"} for n in range(1200))
    document = command(run, modelled, "--queue", "--json").document
    assert 0 < document["needs"][0]["rows"] < 120
    assert document["queued"][0]["asked"] == document["needs"][0]["rows"]


def test_a_suite_whose_people_are_asked_names_their_checks(modelled, run, monkeypatch):
    gated(modelled.project, bounds=["hallucination.high <= 0.05"])
    rate = Estimate(0.03, 0.01, 0.07, 100, "ppi")
    suite = {"kind": "faithfulness", "title": "Hallucination", "summary": [], "rows": 900, "figures": {"hallucination": rate}}
    report(modelled, suites={"faithfulness": {**suite, "looks": {"judgments": 200}}})
    (need,) = command(run, modelled, "--check", "--json").document["needs"]
    assert (need["suite"], need["units"], need["judgments"], need["cost"]) == ("faithfulness", 300, 600, 30.0)
    asked = []

    def sections(project, model, names, suite_options, *, rows):
        asked.append((model.id, names, suite_options.queue, {row.split for row in rows}))
        return {"faithfulness": {**suite, "looks": {"waiting": 50}}}

    monkeypatch.setattr(suite_runner, "run_suites", sections)
    assert command(run, modelled, "--queue", "--json").document["queued"][0]["asked"] == 50
    assert asked == [("m-1234", ["faithfulness"], True, {"test"})]


def test_a_suite_without_people_and_general_texts_want_more_of_their_own(modelled, run):
    gated(modelled.project, bounds=["violations.high <= 0.05", "retention.low >= 0.9"])
    rate, kept = Estimate(0.03, 0.01, 0.07, 100, "wilson"), Estimate(0.95, 0.88, 1.02, 40, "bootstrap")
    suite = {"kind": "policy", "title": "Policy", "summary": [], "rows": 100, "figures": {"violations": rate}}
    figure = Estimate(0.9, 0.88, 0.92, 50, "made up")
    report(modelled, suites={"policy": suite}, models={"tuned": {"accuracy": figure, "retention": kept}})
    ran = command(run, modelled, "--queue", "--json")
    texts = [need["summary"] for need in ran.document["needs"]]
    assert "more independent prompts in the suite 'policy'" in texts[0]
    assert "more general texts" in texts[1]
    assert [each["asked"] for each in ran.document["queued"]] == [0, 0]
    told = command(run, modelled, "--queue").out
    assert told.count("not queued: ") == 2


def test_where_nothing_is_open_there_is_nothing_to_ask(modelled, run):
    gated(modelled.project, bounds=["accuracy.low >= 0.7"])
    report(modelled)
    ran = command(run, modelled, "--queue")
    assert (ran.code, "there is nothing to ask for" in ran.out) == (0, True)


def test_slices_and_regressions_stand_in_the_gate(modelled, run):
    gated(modelled.project, max_slice_gap=0.05, max_regression=0.02)
    report(modelled, slices={"figure": "accuracy", "better": "higher", "left_out": 3, "found": []})
    found = {bound["figure"]: bound for bound in command(run, modelled, "--check", "--json").document["bounds"]}
    assert {name: each["state"] for name, each in found.items()} == {"parity": "met", "slices": "undecided", "regressions": "met"}


def test_a_slice_that_is_open_wants_rows_of_its_own(modelled, run):
    gated(modelled.project, max_slice_gap=0.05)
    apart = Estimate(-0.02, -0.08, 0.04, 20, "t")
    found = [{"by": "language", "slice": "de", "rows": 15, "difference": apart, "estimate": apart, "adjusted": 1.0, "worse": False}]
    report(modelled, slices={"figure": "accuracy", "better": "higher", "rows": 60, "left_out": 0, "found": found})
    (need,) = command(run, modelled, "--check", "--json").document["needs"]
    assert need["units"] == 60
    assert need["rows"] == pytest.approx(4 * 60 * 3, rel=0.5), "a quarter of the rows are in it"
    assert "60 more groups of test rows in language de, which come with about" in need["summary"]


def test_a_report_that_an_earlier_release_has_overtaken_is_measured_anew(modelled, keep_model):
    gated(modelled.project, max_regression=0.02)
    report(modelled)
    other = keep_model(modelled.project, modelled.snapshot.digest, "m-5678")
    evaluation.store_report(modelled.project, other, modelled.snapshot, {"parity": {"passed": True}}, "test")
    modelled.project.release("m-5678", by="ann")
    found = gate.check_release(modelled.project, modelled.model).decision
    assert found.state == "undecided"
    assert "m-5678 has been let out since this report was made" in found.findings[1].summary


def test_a_check_takes_no_decision_along(modelled, run):
    ran = command(run, modelled, "--check", "--override", "why not")
    assert ran.code == 2
    assert "decide nothing" in ran.err
    assert command(run, modelled, "--check").code == 1, "never evaluated"


def test_decisions_stay_with_the_model_and_its_report(modelled, run):
    gated(modelled.project, bounds=["accuracy.low >= 0.7"])
    report(modelled, 0.6)
    assert command(run, modelled, "--by", "ann").code == 3
    assert command(run, modelled, "--by", "boss", "--override", " two customers ", "--note", "for a week").code == 0
    found = gate.list_decisions(modelled.project, "m-1234")
    assert [(each["by"], each["decision"]) for each in found] == [("ann", "missed"), ("boss", "overridden: two customers")]
    assert found[1]["note"] == "for a week"
    assert found[0]["created"] <= found[1]["created"]
    page = gate.load_report_with_decisions(modelled.project, modelled.model).to_html()
    assert "two customers" in page


def test_a_test_side_of_a_question_that_is_gone_is_empty(modelled):
    from preceptor.release.required_evidence import find_future_test_items

    assert find_future_test_items(modelled.project, modelled.snapshot) == []
    with modelled.project.database.reading() as connection:
        key, _ = questions.get(connection, "sentiment")
        assert all(each.judgment_count for each in slots.counts_by_item(connection, key).values())


def test_checks_that_are_waited_for_are_a_need_before_there_is_any_rate(modelled, run):
    gated(modelled.project, bounds=["hallucination.high <= 0.05"])
    suite = {
        "kind": "faithfulness",
        "title": "Hallucination",
        "summary": [],
        "rows": 44,
        "figures": {},
        "looks": {"waiting": 44, "done": 0},
    }
    report(modelled, suites={"faithfulness": suite})
    (need,) = command(run, modelled, "--check", "--json").document["needs"]
    assert (need["suite"], need["units"], need["judgments"], need["cost"]) == ("faithfulness", 44, 88, 4.4)
    assert "44 responses wait for people's checks" in need["summary"]


def test_where_all_looks_are_done_it_takes_further_prompts(modelled, run):
    gated(modelled.project, bounds=["hallucination.high <= 0.05"])
    rate = Estimate(0.03, 0.01, 0.07, 10, "ppi")
    looks = {"judgments": 88, "waiting": 0, "done": 1, "sizes": [44]}
    suite = {
        "kind": "faithfulness",
        "title": "Hallucination",
        "summary": [],
        "rows": 44,
        "figures": {"hallucination": rate},
        "looks": looks,
    }
    report(modelled, suites={"faithfulness": suite})
    (need,) = command(run, modelled, "--check", "--json").document["needs"]
    assert "groups of responses" in need["summary"]
    assert "all planned looks are done" in need["summary"]
