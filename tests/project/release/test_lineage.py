"""From a model back to each judgment and person, and forward again."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.release.model_aliases import ModelAliases
from preceptor.snapshots import curation
from preceptor.snapshots.check_page import build_difference_tables, compare_snapshots
from preceptor.storage import judgment_log


def test_a_model_leads_back_to_judgments_and_people(modelled):
    traced = modelled.project.lineage("m-1234")
    assert traced["snapshot"] == modelled.snapshot.digest
    assert traced["annotators"] == {"ann": 60, "bob": 60}
    assert traced["judgments"] == {"count": 120, "numbers": list(range(1, 121))}
    assert traced["run"]["recipe"] == "classify"
    assert traced["releases"] == []
    assert modelled.project.lineage("m-12") == traced
    ModelAliases(modelled.project).set("help:live", "m-1234", by="owner", override="a test")
    assert modelled.project.lineage("help:live") == {"alias": "help:live", **modelled.project.lineage("m-1234")}


def test_a_snapshot_goes_by_name_or_digest(modelled):
    by_name = modelled.project.lineage("v1")
    assert by_name == modelled.project.lineage(modelled.snapshot.digest) == modelled.project.lineage(modelled.snapshot.digest[:10])
    assert (by_name["rows"], by_name["question"], by_name["retracted_since"]) == (60, "sentiment", 0)


@pytest.mark.parametrize(("name", "kind", "count"), [("7", "judgment", 1), ("ann", "person", 60), ("i-4", "item", 2)])
def test_judgments_people_and_items_lead_forward_to_models(modelled, name, kind, count):
    traced = modelled.project.lineage(name)
    assert traced[kind] == name
    assert len(traced["judgments"]) == count
    assert [row["name"] for row in traced["snapshots"]] == ["v1"]
    assert traced["models"] == ["m-1234"]


def test_what_came_later_went_nowhere(modelled):
    modelled.project.add_annotator("late")
    number = modelled.project.judge("i-4", "sentiment", annotator="late", answer="positive")
    assert modelled.project.lineage("late")["snapshots"] == []
    assert modelled.project.lineage(str(number))["models"] == []
    assert modelled.project.lineage("i-4")["models"] == ["m-1234"]


def test_what_was_retracted_still_shows_where_it_went(modelled):
    modelled.project.retract("ann", by="owner", reason="guessed")
    assert modelled.project.lineage("m-1234")["retracted_since"] == 60
    for name in ("1", "ann", "i-4"):
        assert modelled.project.lineage(name)["models"] == ["m-1234"]


def test_a_rows_lineage_leads_to_its_judgments(modelled):
    with modelled.project.database.reading() as connection:
        for row in modelled.snapshot.rows():
            found = list(judgment_log.stream_judgments(connection, numbers=modelled.snapshot.lineage(row)))
            assert {(judgment.item, judgment.question) for judgment in found} == {(row.id, "sentiment")}
            assert {judgment.annotator for judgment in found} == {"ann", "bob"}


def test_whole_names_go_before_beginnings(modelled):
    """A person or an item may be called like the beginning of a model's or snapshot's name."""
    for name in ("m", "v", modelled.snapshot.digest[:1]):
        modelled.project.add_annotator(name)
        modelled.project.judge("i-1", "sentiment", annotator=name, answer="neutral")
        assert modelled.project.lineage(name)["person"] == name
    modelled.project.add_items([{"id": "9999", "text": "an item that is called like a number"}])
    nothing = {"snapshots": [], "models": [], "aliases": {}, "answers": 0, "decided_about": [], "deferrals": []}
    assert modelled.project.lineage("9999") == {"item": "9999", "judgments": [], **nothing}


@pytest.mark.parametrize("name", ["nobody", "0", "99999999999999999999999", "-1", "²"])
def test_what_is_not_there_is_told(modelled, name):
    with pytest.raises(UserError, match="nothing here is called"):
        modelled.project.lineage(name)


def test_items_and_people_name_what_was_decided(modelled):
    project = modelled.project
    curation.curate_item(project, "i-4", "sentiment", "relabel", answer="neutral", reason="a fact", by="zoe")
    curation.curate_item(project, "i-5", "sentiment", "rewrite", text="said anew", answer="neutral", by="zoe")
    told = {"item": "i-4", "question": "sentiment", "action": "relabel", "by": "zoe", "reason": "a fact", "answer": "neutral"}
    assert project.lineage("i-4")["decisions"] == [told]
    new = project.lineage("i-5")["decisions"][0]["new item"]
    assert project.lineage(new)["decisions"] == project.lineage("i-5")["decisions"]
    assert [each["item"] for each in project.lineage("zoe")["decisions"]] == ["i-4", "i-5"]
    curation.curate_item(project, "i-7", "sentiment", "merge", into="i-8", by="zoe")
    changed = compare_snapshots(project, modelled.snapshot, project.snapshot("sentiment"))
    assert changed["relabelled"] == {"i-4": {"answer": "neutral", "reason": "a fact", "by": "zoe"}}
    assert changed["why"]["i-7"] == {"reason": "merged", "by": "zoe", "into": "i-8"}
    assert changed["why"]["i-5"]["into"] == new
    assert {"Rows that went", "Rows that were relabelled"} <= {table.caption for table in build_difference_tables(changed)}
