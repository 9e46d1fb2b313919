"""The gate: on test rows only, by a named person, kept whatever comes out."""

from __future__ import annotations

import json

import pytest

from preceptor import Estimate
from preceptor.config import ProjectConfig
from preceptor.errors import GateRefused, UserError
from preceptor.release import gate
from preceptor.runs import evaluation
from preceptor.runs.parity_check import digest_model_files
from preceptor.storage import events


def report(modelled, accuracy, split="test", half=0.02, proved=True):
    """A kept report that says so much about the model, and whether parity was shown (None: it was never checked)."""
    figure = Estimate(accuracy, accuracy - half, accuracy + half, 20, "made up")
    shown = {} if proved is None else {"parity": {"passed": proved, "rows": 3, "stages": [], "notes": []}}
    document = {"models": {"tuned": {"accuracy": figure}}, **shown}
    return evaluation.store_report(modelled.project, modelled.model, modelled.snapshot, document, split)


@pytest.fixture
def gated(modelled):
    """The modelled project with a bound."""
    values = {**json.loads(modelled.project.config.model_dump_json()), "gate": {"bounds": ["accuracy.low >= 0.7"]}}
    modelled.project.config = ProjectConfig.parse(values, of="the test")
    return modelled


def last_event(project):
    with project.database.reading() as connection:
        return list(events.read_events(connection))[-1]


def test_a_model_that_was_never_measured_stays(gated):
    with pytest.raises(UserError, match="never evaluated") as caught:
        gated.project.release("m-1234", by="owner")
    assert caught.value.hint == "preceptor evaluate m-1234"
    assert not isinstance(caught.value, GateRefused)


def test_a_bound_that_is_met_lets_it_out(gated):
    report(gated, 0.8)
    made = gated.project.release("m-1234", by="owner", note="fine")
    assert (made.decision, made.by, made.bounds[0]["state"]) == ("released", "owner", "met")
    assert [bound["figure"] for bound in made.bounds] == ["parity", "accuracy"]
    assert gated.project.lineage("m-1234")["releases"] == [{"by": "owner", "decision": "released", "report": made.report}]
    assert last_event(gated.project)["decision"] == "released"


@pytest.mark.parametrize(("accuracy", "half", "decision"), [(0.6, 0.02, "missed"), (0.7, 0.1, "undecided")])
def test_a_bound_that_is_not_met_keeps_it_in_and_the_refusal_stays_on_record(gated, accuracy, half, decision):
    report(gated, accuracy, half=half)
    with pytest.raises(GateRefused, match="m-1234 is not released") as caught:
        gated.project.release("m-1234", by="owner")
    assert caught.value.exit_code == 3
    assert [release["decision"] for release in gated.project.lineage("m-1234")["releases"]] == [decision]
    made = gated.project.release("m-1234", by="owner", override="the board accepts it")
    assert made.decision == "overridden: the board accepts it"


@pytest.mark.parametrize("proved", [None, False])
def test_without_parity_nothing_goes_out_and_an_override_stays_on_record(gated, proved):
    report(gated, 0.9, proved=proved)
    with pytest.raises(GateRefused, match=r"Missed: what was measured rules out the bound on parity.*evaluate it anew"):
        gated.project.release("m-1234", by="owner")
    made = gated.project.release("m-1234", by="owner", override="checked by hand")
    assert made.decision == "overridden: checked by hand"
    assert {bound["figure"]: bound["state"] for bound in made.bounds} == {"parity": "missed", "accuracy": "met"}


def test_parity_is_asked_for_where_no_bound_is_set(modelled):
    report(modelled, 0.6, proved=None)
    with pytest.raises(GateRefused, match="parity"):
        modelled.project.release("m-1234", by="owner")


def test_without_a_bound_it_takes_a_reason_which_stays_on_record(modelled):
    """A successor that answered nothing right was released, exit 0, since no bound was set."""
    kept = report(modelled, 0.0)
    assert kept.document["release"]["decision"] == "unbounded"
    for given in ({}, {"override": "no reason about bounds"}, {"without_bounds": " "}):
        with pytest.raises(GateRefused, match="no bound says what is good enough") as caught:
            modelled.project.release("m-1234", by="owner", **given)
        assert (caught.value.exit_code, "--without-bounds" in caught.value.hint) == (3, True)
    made = modelled.project.release("m-1234", by="owner", without_bounds=" a trial of the page ")
    assert made.decision == "released without bounds: a trial of the page"
    assert modelled.project.lineage("m-1234")["releases"][-1]["decision"] == made.decision
    assert last_event(modelled.project)["decision"] == made.decision
    shown = gate.load_report_with_decisions(modelled.project, modelled.model).to_html()
    assert "Released without bounds" in shown
    assert "a trial of the page" in shown


def test_a_release_with_bounds_is_none_without(gated):
    report(gated, 0.6)
    with pytest.raises(UserError, match="bounds are set"):
        gated.project.release("m-1234", by="owner", without_bounds="in a hurry")
    assert gated.project.lineage("m-1234")["releases"] == []


def test_validation_rows_let_nothing_out(gated):
    report(gated, 0.6)
    report(gated, 0.9, split="validation")
    with pytest.raises(GateRefused):
        gated.project.release("m-1234", by="owner")


def test_the_newest_report_on_test_rows_decides(gated):
    report(gated, 0.6)
    report(gated, 0.9)
    assert gated.project.release("m-1234", by="owner").decision == "released"


def test_a_release_has_a_name(gated):
    with pytest.raises(UserError, match="needs the name of the person"):
        gated.project.release("m-1234", by=" ")


def test_files_that_changed_since_they_were_measured_are_not_released(gated):
    folder = gated.model.path
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    document = {
        "models": {"tuned": {"accuracy": Estimate(0.9, 0.88, 0.92, 20, "made up")}},
        "parity": {"passed": True, "files": digest_model_files(folder)},
    }
    evaluation.store_report(gated.project, gated.model, gated.snapshot, document, "test")
    assert gated.project.release("m-1234", by="owner").decision == "released"
    (folder / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UserError, match="aren't those that were measured"):
        gated.project.release("m-1234", by="owner", override="in a hurry")
