"""The loop as methods of a project: items, questions, judgments, consensus, snapshots."""

from __future__ import annotations

import pytest

from preceptor import Project
from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.storage import events, people


def fill(project, count=6):
    project.add_items({"id": f"i-{n}", "text": f"text number {n} of its own"} for n in range(count))


def answer_all(project, *people, say=lambda item, person: "positive"):
    """Let people answer in turn until none of them is asked more; how often each item was judged."""
    given, idle = {}, 0
    while idle < len(people):
        idle = 0
        for person in people:
            project.add_annotator(person)
            slot = project.next(person)
            if slot is None:
                idle += 1
                continue
            project.submit(slot.slot, person, say(slot.item, person), key=f"{person}/{slot.item}")
            given[slot.item] = given.get(slot.item, 0) + 1
    return given


def test_a_folder_holds_one_project(tmp_path):
    Project.create(tmp_path / "reviews").close()
    with pytest.raises(UserError, match="there is a project"):
        Project.create(tmp_path / "reviews")
    with pytest.raises(UserError, match="there is no project") as caught:
        Project.open(tmp_path)
    assert "preceptor init" in caught.value.hint
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        Project.create(tmp_path / "file")


def test_a_project_reopened_is_the_same(project):
    fill(project)
    project.add_annotator("ann")
    project.judge("i-1", "sentiment", annotator="ann", answer="positive")
    again = Project.open(project.folder)
    assert again.status() == project.status()
    assert again.consensus("sentiment").items == ("i-1",)
    again.close()


def test_items_enter_all_or_none(project):
    with pytest.raises(UserError) as caught:
        project.add_items([{"text": "fine"}, {"text": None}])
    assert caught.value.where == "item 2"
    with pytest.raises(ConflictError) as caught:
        project.add_items([{"id": "a", "text": "one"}, {"id": "b", "text": "two"}, {"id": "a", "text": "three"}])
    assert caught.value.where == "item 3"
    assert project.status()["items"] == 0
    assert project.add_items([{"text": "fine"}, {"text": "fine"}]) == 1
    assert project.add_items([{"text": "fine"}]) == 0


def test_a_changed_question_is_a_new_version_with_slots_of_its_own(project):
    fill(project, 2)
    assert project.add_question("sentiment", "choice", ["negative", "neutral", "positive"], "How does the writer feel?").version == 1
    project.add_annotator("ann")
    project.judge("i-1", "sentiment", annotator="ann", answer="neutral")
    assert project.add_question("sentiment", "choice", ["bad", "good"]).version == 2
    assert project.question("sentiment").options == ("bad", "good")
    assert [part["judgment_count"] for part in project.status()["questions"]] == [0]
    assert project.next("ann").question == "sentiment"
    with pytest.raises(UserError, match="not an option"):
        project.judge("i-1", "sentiment", annotator="ann", answer="neutral")


def test_options_written_as_one_text_are_refused(project):
    with pytest.raises(UserError, match="options must be a list"):
        project.add_question("q", "choice", "yes,no")
    assert project.add_question(" q ", "choice", ["yes", "no"]).name == "q"


def test_the_only_question_goes_without_its_name(project):
    assert project.only_question() == "sentiment"
    project.add_question("clear", "choice", ["no", "yes"])
    with pytest.raises(UserError, match="which question") as caught:
        project.only_question()
    assert caught.value.hint == "name one: sentiment, clear"
    with pytest.raises(UserError, match="did you mean 'sentiment'"):
        project.question("sentimnt")


def test_people_are_asked_until_answers_are_certain(tmp_path):
    project = Project.create(tmp_path / "p", redundancy={"confidence_threshold": 0.9, "min_judgments": 2, "max_judgments": 4})
    project.add_question("sentiment", "choice", ["negative", "positive"])
    fill(project, 12)
    divided = {"i-3", "i-7"}
    given = answer_all(project, *"abcdef", say=lambda item, person: "negative" if item in divided and person in "bdf" else "positive")
    assert set(given) == {f"i-{n}" for n in range(12)}
    assert all(2 <= count <= 4 for count in given.values())
    others = [count for item, count in given.items() if item not in divided]
    assert min(given[item] for item in divided) >= max(others)
    assert sum(given.values()) < 12 * 4
    project.close()


def test_nobody_answers_an_item_twice(project):
    fill(project, 3)
    given = answer_all(project, "ann")
    assert given == {"i-0": 1, "i-1": 1, "i-2": 1}
    project.add_annotator("ann")
    assert project.next("ann") is None


def test_a_double_click_counts_once(project):
    fill(project, 1)
    project.add_annotator("ann")
    slot = project.next("ann")
    first = project.submit(slot.slot, "ann", "positive", key="k")
    assert project.submit(slot.slot, "ann", "positive", key="k") == first
    assert project.status()["judgments"] == 1


@pytest.mark.parametrize("answer", ["great", None, 3, ["positive"]])
def test_an_unfit_answer_keeps_the_slot(project, answer):
    fill(project, 1)
    project.add_annotator("ann")
    slot = project.next("ann")
    with pytest.raises(UserError, match="not an option"):
        project.submit(slot.slot, "ann", answer)
    assert project.next("ann").slot == slot.slot
    assert project.status()["judgments"] == 0


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "long"])
def test_seconds_are_a_time(project, seconds):
    fill(project, 1)
    project.add_annotator("ann")
    with pytest.raises(UserError, match="seconds must be"):
        project.judge("i-0", "sentiment", annotator="ann", answer="positive", seconds=seconds)


def test_a_judgment_needs_its_item_and_a_name(project):
    fill(project, 1)
    project.add_annotator("ann")
    with pytest.raises(UserError, match="unknown item 'i-9'"):
        project.judge("i-9", "sentiment", annotator="ann", answer="positive")
    for name in ("", " ", None, 3):
        with pytest.raises(UserError, match="needs a name"):
            project.add_annotator(name)
        for ask in (project.next, lambda who: project.judge("i-0", "sentiment", annotator=who, answer="positive")):
            with pytest.raises(UserError, match="needs a name"):
                ask(name)
    with pytest.raises(UserError, match="no slot 99"):
        project.submit(99, "ann", "positive")
    with pytest.raises(UserError, match="no annotator is called 'bob'"):
        project.submit(project.next("ann").slot, "bob", "positive")


def test_a_mistyped_annotator_is_an_error_and_no_new_person(project):
    fill(project, 1)
    for name in ("annika", "ben"):
        project.add_annotator(name)
    for ask in (project.next, lambda who: project.judge("i-0", "sentiment", annotator=who, answer="positive")):
        with pytest.raises(NotFoundError, match="did you mean 'annika'"):
            ask("anika")
    with project.database.reading() as connection:
        assert {person.id for person in people.list_annotators(connection)} == {"annika", "ben"}
    assert project.status()["judgments"] == 0


def test_roles_are_known(project):
    assert project.add_annotator("rev", "reviewer").role == "reviewer"
    with pytest.raises(UserError, match="did you mean 'expert'"):
        project.add_annotator("x", "experte")


def test_gold_stands_in_the_consensus(project):
    fill(project, 4)
    for n in range(4):
        for person in "abc":
            project.add_annotator(person)
            project.judge(f"i-{n}", "sentiment", annotator=person, answer="positive")
    project.add_gold("sentiment", {"i-2": "negative"}, "sarcasm")
    fitted = project.consensus("sentiment", "majority")
    assert dict(zip(fitted.items, fitted.top, strict=True)) == {"i-0": "positive", "i-1": "positive", "i-2": "negative", "i-3": "positive"}
    with pytest.raises(UserError, match="unknown item 'zz'"):
        project.add_gold("sentiment", {"zz": "negative"})
    with pytest.raises(UserError, match="not an option"):
        project.add_gold("sentiment", {"i-1": "bad"})


def test_nothing_judged_is_told(project):
    fill(project, 1)
    for ask in (project.consensus, project.snapshot):
        with pytest.raises(UserError, match="nobody has judged 'sentiment' yet"):
            ask("sentiment")
    assert project.people() == []
    project.add_annotator("ann")
    assert [row["judgments"] for row in project.people()] == [0]


def test_status_says_what_to_do_next(project):
    assert project.status()["next"].startswith("import some items")
    fill(project, 3)
    assert project.status()["next"] == "3 of 3 items wait for answers to 'sentiment'"
    answer_all(project, "a", "b", "c")
    status = project.status()
    assert status["next"] == "freeze what is known: preceptor snapshot create sentiment"
    part = status["questions"][0]
    assert part["judgment_count"] == status["judgments"] >= 6
    assert part["annotators"] == 3
    assert status["cost"] == {"judgments": pytest.approx(0.05 * status["judgments"]), "currency": "USD"}


def test_retraction_counts_and_is_recorded(project):
    fill(project, 3)
    answer_all(project, "ann")
    assert project.retract("ann", by="owner", reason="guessed") == 3
    assert project.status()["judgments"] == 0
    with pytest.raises(UserError, match="did you mean 'ann'"):
        project.retract("anne", by="owner", reason="guessed")
    with project.database.reading() as connection:
        last = list(events.read_events(connection))[-1]
    assert (last["kind"], last["actor"], last["annotator"], last["reason"]) == ("annotator retracted", "owner", "ann", "guessed")


def judged(project, count=60):
    fill(project, count)
    for n in range(count):
        for person in "ab":
            project.add_annotator(person)
            project.judge(f"i-{n}", "sentiment", annotator=person, answer=("negative", "neutral", "positive")[n % 3])


def test_a_snapshot_has_a_name_for_good(project):
    judged(project)
    made = project.snapshot("sentiment", name="v1")
    assert project.snapshot("sentiment", name="v1").digest == made.digest
    assert project.load_snapshot("v1").digest == project.load_snapshot(made.digest[:12]).digest == made.digest
    project.add_annotator("c")
    project.judge("i-0", "sentiment", annotator="c", answer="positive")
    with pytest.raises(UserError, match="called 'v1' is there already"):
        project.snapshot("sentiment", name="v1")
    assert project.snapshot("sentiment", name="v2").digest != made.digest
    with pytest.raises(UserError, match="no snapshot is called 'v3'"):
        project.load_snapshot("v3")


def test_rows_keep_their_side_from_snapshot_to_snapshot(project):
    judged(project)
    first = project.snapshot("sentiment")
    project.add_items({"id": f"new-{n}", "text": f"a new text, number {n}"} for n in range(30))
    project.add_annotator("a")
    for n in range(30):
        project.judge(f"new-{n}", "sentiment", annotator="a", answer="neutral")
    second = project.snapshot("sentiment")
    side = {row.id: row.split for row in second.rows()}
    assert all(side[row.id] == row.split for row in first.rows())


def test_a_rows_lineage_is_what_its_target_rests_on(project, monkeypatch):
    """A judgment that comes while the snapshot is taken is in the next one, in target and lineage both."""
    from preceptor.annotation import judgment_set

    judged(project)
    consensus = judgment_set.fit_consensus

    def meanwhile(*args):
        project.add_annotator("late")
        project.judge("i-0", "sentiment", annotator="late", answer="positive")
        return consensus(*args)

    monkeypatch.setattr(judgment_set, "fit_consensus", meanwhile)
    made = project.snapshot("sentiment")
    assert len(made.lineage("i-0")) == 2


def test_numbers_name_items_and_judgments_as_they_do_in_files(tmp_path):
    project = Project.create(tmp_path / "numbers")
    project.add_items([{"id": 7, "content": "seven"}])
    project.add_question("sentiment", kind="choice", options=["bad", "good"])
    project.add_annotator("ann")
    number = project.judge(7, "sentiment", annotator="ann", answer="good")
    project.add_gold("sentiment", {7: "good"})
    assert project.lineage(number)["judgments"][0]["item"] == "7"
    assert project.next("ann") is None
    assert project.retract("ann", by="owner", reason="guessed") == 1


@pytest.mark.parametrize(("by", "reason"), [("", "guessed"), ("owner", " ")])
def test_a_retraction_names_who_and_why(project, by, reason):
    with pytest.raises(UserError, match="who decides it, and why"):
        project.retract("ann", by=by, reason=reason)


@pytest.mark.parametrize("name", ["file/inside", "x" * 300])
def test_a_folder_that_cannot_be_is_told_in_words(tmp_path, name):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UserError, match="can't make the folder"):
        Project.create(tmp_path / name)


def test_a_file_is_no_project(tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UserError, match="there is no project"):
        Project.open(tmp_path / "file")
