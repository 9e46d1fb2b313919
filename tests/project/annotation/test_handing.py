"""Who is asked what next, and what becomes of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from preceptor import Project, UserError
from preceptor.errors import ConflictError
from preceptor.snapshots import curation
from preceptor.storage import gold, judgment_log, people, slots


def made(tmp_path, items: int = 3, **settings: Any) -> Project:
    project = Project.create(tmp_path / "p", **settings)
    project.add_question("safe", "choice", ["safe", "unsafe"], "Is it safe?")
    project.add_items({"id": f"i-{number}", "content": f"text {number}"} for number in range(items))
    return project


def answer_all(project: Project, annotator: str, say: Any) -> list[int]:
    numbers = []
    project.add_annotator(annotator)
    while (found := project.next(annotator)) is not None:
        numbers.append(project.submit(found.slot, annotator, say(found.item)))
    return numbers


def standing(project: Project) -> list[tuple[str, str, Any]]:
    with project.database.reading() as connection:
        return [(judgment.item, judgment.question, judgment.answer) for judgment in judgment_log.stream_judgments(connection)]


class TestFollowUps:
    @pytest.fixture
    def project(self, tmp_path):
        project = made(tmp_path)
        project.add_question("why", "choice", ["rude", "wrong"], "Why?", follows={"question": "safe", "answers": ["unsafe"]})
        yield project
        project.close()

    def test_they_come_in_one_form_and_have_no_slots_of_their_own(self, project):
        assert [question.name for question in project.form_questions("safe")] == ["safe", "why"]
        project.add_annotator("ann")
        assert project.next("ann").question == "safe"
        assert project.next("ann", "why") is None

    def test_both_answers_are_kept_as_one(self, project):
        project.add_annotator("ann")
        found = project.next("ann")
        project.submit(found.slot, "ann", "unsafe", key="k", follow_ups={"why": "rude"})
        project.submit(found.slot, "ann", "unsafe", key="k", follow_ups={"why": "rude"})
        assert standing(project) == [(found.item, "safe", "unsafe"), (found.item, "why", "rude")]

    def test_a_bad_follow_up_keeps_nothing(self, project):
        project.add_annotator("ann")
        found = project.next("ann")
        with pytest.raises(UserError) as raised:
            project.submit(found.slot, "ann", "unsafe", follow_ups={"why": "odd"})
        assert raised.value.where == "why"
        assert standing(project) == []

    def test_one_that_was_not_asked_is_refused(self, project):
        project.add_annotator("ann")
        found = project.next("ann")
        with pytest.raises(UserError, match="isn't asked after this answer"):
            project.submit(found.slot, "ann", "safe", follow_ups={"why": "rude"})

    def test_a_page_must_send_the_one_that_was_asked(self, project):
        project.add_annotator("ann")
        found = project.next("ann")
        with pytest.raises(UserError, match="'why' isn't answered"):
            project.submit(found.slot, "ann", "unsafe", asked=True)

    @pytest.mark.parametrize(
        ("follows", "words"),
        [
            ({"question": "safe", "answers": ["odd"]}, "'odd' is not an answer to 'safe'"),
            ("why", "'why' follows 'safe' itself"),
        ],
    )
    def test_a_question_that_would_never_be_asked_is_refused(self, project, follows, words):
        with pytest.raises(UserError, match=words):
            project.add_question("more", "choice", ["a", "b"], follows=follows)

    def test_it_follows_only_what_is_there(self, project):
        with pytest.raises(UserError, match="which isn't there"):
            project.add_question("more", "choice", ["a", "b"], follows="gone")


def test_what_was_not_handed_out_is_refused(tmp_path):
    project = made(tmp_path)
    project.add_annotator("ann")
    found = project.next("ann")
    project.add_annotator("bob")
    with pytest.raises(ConflictError, match="wasn't handed to you"):
        project.submit(found.slot, "bob", "safe", asked=True)
    project.close()


def test_a_second_tab_with_the_same_answer_counts_once_and_another_answer_is_refused(tmp_path):
    project = made(tmp_path)
    project.add_annotator("ann")
    found = project.next("ann")
    first = project.submit(found.slot, "ann", "safe", key="tab 1", asked=True)
    assert project.submit(found.slot, "ann", "safe", key="tab 2", asked=True) == first
    with pytest.raises(ConflictError, match="answered this item already"):
        project.submit(found.slot, "ann", "unsafe", key="tab 3", asked=True)
    assert len(standing(project)) == 1
    project.close()


def test_a_late_answer_is_kept_as_late(tmp_path):
    project = made(tmp_path, items=1, redundancy={"min_judgments": 1, "audit_share": 0})
    project.add_annotator("ann")
    late = project.next("ann", lease_seconds=-1)
    project.add_annotator("bob")
    assert project.next("bob").slot == late.slot  # the lease has gone back
    number = project.submit(late.slot, "ann", "safe", asked=True)
    with project.database.reading() as connection:
        assert judgment_log.find_context(connection, number) == {"late": True}
    project.close()


def test_an_answer_taken_back_leaves_no_trace_in_the_consensus(tmp_path):
    project = made(tmp_path, items=1)
    project.add_annotator("ann")
    first = project.next("ann")
    number = project.submit(first.slot, "ann", "unsafe")
    again = project.withdraw_answer(number, "ann")
    assert (again.slot, again.item, again.question) == (first.slot, first.item, "safe")
    assert project.next("ann").slot == first.slot  # it is in hand
    project.submit(again.slot, "ann", "safe", asked=True)
    assert standing(project) == [("i-0", "safe", "safe")]
    assert project.status()["questions"][0]["judgment_count"] == 1
    with pytest.raises(UserError, match="to take back"):
        project.withdraw_answer(number, "ann")
    with pytest.raises(UserError, match="of yours"):
        project.withdraw_answer(number + 1, "bob") if project.add_annotator("bob") else None
    project.close()


def test_who_skips_an_item_is_not_asked_about_it_again_and_others_are(tmp_path):
    project = made(tmp_path, items=1)
    project.add_annotator("ann")
    found = project.next("ann")
    project.skip(found.slot, "ann", reason="not my language", flag=True)
    assert project.next("ann") is None
    project.add_annotator("bob")
    assert project.next("bob").slot == found.slot
    with project.database.reading() as connection:
        assert slots.question_progress(connection, 1)["leased"] == 1
    project.close()


def test_nobody_passes_on_what_they_do_not_hold(tmp_path):
    project = made(tmp_path)
    project.add_annotator("ann")
    found = project.next("ann")
    project.add_annotator("bob")
    with pytest.raises(ConflictError, match="wasn't handed to you"):
        project.skip(found.slot, "bob", flag=True)
    assert project.next("ann").slot == found.slot
    project.close()


def test_another_item_can_be_had_beside_the_one_in_hand(tmp_path):
    project = made(tmp_path)
    project.add_annotator("ann")
    first = project.next("ann")
    second = project.next("ann", besides=first.slot)
    assert second.slot != first.slot
    assert project.next("ann").slot == first.slot
    assert project.next("ann", besides=first.slot).slot == second.slot
    project.close()


def test_limits_and_pauses(tmp_path):
    from preceptor.annotation.access_control import AccessControl

    project = made(tmp_path)
    AccessControl(project).invite("ann", daily_limit=1)
    project.add_annotator("ann")
    project.submit(project.next("ann").slot, "ann", "safe")
    with pytest.raises(ConflictError, match="1 today, which is your limit"):
        project.next("ann")
    project.add_annotator("bob")
    AccessControl(project).set_paused("bob", True, by="owner")
    with pytest.raises(ConflictError, match="paused"):
        project.next("bob")
    AccessControl(project).set_paused("bob", False, by="owner")
    assert project.next("bob") is not None
    project.close()


def test_a_question_that_needs_a_skill_goes_to_who_has_it(tmp_path):
    from preceptor.annotation.access_control import AccessControl

    project = Project.create(tmp_path / "p")
    project.add_question("dose", "choice", ["right", "wrong"], skills=["medicine"])
    project.add_items([{"id": "a", "content": "10 mg"}])
    AccessControl(project).invite("dr", skills=["medicine", "law"])
    project.add_annotator("ann")
    assert project.next("ann") is None
    project.add_annotator("dr")
    assert project.next("dr") is not None
    project.close()


class TestGold:
    def test_it_is_mixed_in_for_everyone_however_many_have_answered(self, tmp_path):
        project = made(
            tmp_path, items=40, redundancy={"min_judgments": 1, "max_judgments": 1, "audit_share": 0}, annotators={"gold_share": 0.5}
        )
        project.add_gold("safe", {f"i-{number}": "safe" for number in range(8)})
        for annotator in ("ann", "bob", "cec"):
            project.add_annotator(annotator)
            for _ in range(12):
                found = project.next(annotator)
                project.submit(found.slot, annotator, "safe")
        asked = [item for item, _, _ in standing(project)]
        assert max(asked.count(f"i-{number}") for number in range(8)) > 1
        assert all(asked.count(f"i-{number}") <= 1 for number in range(8, 40))
        project.close()

    def test_feedback_says_what_is_right_and_why(self, tmp_path):
        project = made(tmp_path, items=2, annotators={"gold_share": 0})
        project.add_gold("safe", {"i-0": "safe"}, "It names no drug.")
        numbers = dict(zip(("first", "second"), answer_all(project, "ann", lambda item: "unsafe"), strict=True))
        told = [project.feedback(number, "ann") for number in numbers.values()]
        known = next(each for each in told if each is not None)
        assert (known.is_correct, known.answer, known.explanation) == (False, "safe", "It names no drug.")
        assert told.count(None) == 1
        shown = next(number for number, each in zip(numbers.values(), told, strict=True) if each is not None)
        with pytest.raises(ConflictError, match="been told the answer"):
            project.withdraw_answer(shown, "ann")  # else anybody would be right about all gold
        project.add_annotator("bob")
        with pytest.raises(UserError, match="of yours"):
            project.feedback(numbers["first"], "bob")
        project.close()


@pytest.mark.parametrize(
    ("kind", "options", "settings", "known", "right", "wrong"),
    [
        ("rating", [-2, -1, 0, 1, 2], {"cuts": [-0.5, 0.5], "labels": ["bad", "so", "good"]}, "good", 1, 0),
        ("rating", [1, 2, 3], {}, 2, 2, 3),
        ("multilabel", ["a", "b", "c"], {}, ["a", "b"], ["a", "b"], ["c"]),
        ("spans", ["drug"], {}, [{"start": 0, "end": 10, "label": "drug"}], [{"start": 0, "end": 9, "label": "drug"}], []),
        ("compare", [], {}, {"winner": 1, "order": None, "reasons": ""}, {"winner": 1}, {"winner": "tie"}),
        ("write", [], {}, {"text": "take two a day"}, {"text": "take two a day."}, {"text": "no idea"}),
    ],
)
def test_what_counts_as_right(kind, options, settings, known, right, wrong):
    from preceptor.annotation.assignment import is_correct
    from preceptor.questions import define_question, kinds

    question = define_question({"name": "q", "kind": kind, "options": options, "settings": settings})
    parse = kinds.get(kind).parse
    gold = kinds.get(kind).parse_consensus(question, known if kind != "compare" else 1)
    gold = parse(question, known) if kind == "compare" else gold
    assert is_correct(question, parse(question, right), gold)
    assert not is_correct(question, parse(question, wrong), gold)


class TestQualification:
    def project(self, tmp_path) -> Project:
        project = made(tmp_path, items=60, annotators={"require_qualification": True, "gold_share": 0}, redundancy={"audit_share": 0})
        project.add_gold("safe", {f"i-{number}": "safe" if number % 2 else "unsafe" for number in range(50)})
        return project

    def test_who_is_right_passes_and_goes_on(self, tmp_path):
        project = self.project(tmp_path)
        right = {f"i-{number}": "safe" if number % 2 else "unsafe" for number in range(60)}
        numbers = answer_all(project, "able", right.__getitem__)
        assert len(numbers) == 60
        with project.database.reading() as connection:
            assert people.find_qualification(connection, people.get_key(connection, "able"), "safe") == "pass"
        project.close()

    def test_who_is_wrong_fails_and_is_asked_no_more(self, tmp_path):
        project = self.project(tmp_path)
        numbers = answer_all(project, "lazy", lambda item: "safe")
        assert 5 < len(numbers) <= 50
        project.add_annotator("lazy")
        assert project.next("lazy") is None
        assert all(int(item[2:]) < 50 for item, _, _ in standing(project))  # only gold was shown
        project.close()

    def test_gold_that_runs_out_decides_by_what_there_is(self, tmp_path):
        for right, count in ((True, 20), (False, 3)):
            project = made(
                tmp_path / str(right), items=20, annotators={"require_qualification": True, "gold_share": 0}, redundancy={"audit_share": 0}
            )
            project.add_gold("safe", {f"i-{number}": "safe" for number in range(3)})
            assert len(answer_all(project, "ann", lambda item, right=right: "safe" if right else "unsafe")) == count
            project.close()

    def test_without_gold_there_is_no_test(self, tmp_path):
        project = made(tmp_path, annotators={"require_qualification": True})
        assert len(answer_all(project, "ann", lambda item: "safe")) == 3
        project.close()

    def test_no_feedback_during_the_test(self, tmp_path):
        project = self.project(tmp_path)
        project.add_annotator("ann")
        found = project.next("ann")
        assert project.feedback(project.submit(found.slot, "ann", "safe"), "ann") is None
        project.close()


class TestSuggestions:
    def test_a_guess_is_shown_only_if_the_project_says_so_and_is_kept_with_the_judgment(self, tmp_path):
        for shown in (False, True):
            project = Project.create(tmp_path / str(shown), annotators={"suggestions": shown, "blind_share": 0.3, "gold_share": 0})
            project.add_question("safe", "choice", ["safe", "unsafe"])
            guess = {"metadata": {"suggestions": {"safe": "unsafe"}}}
            project.add_items({"id": f"i-{number}", "content": f"t {number}", **guess} for number in range(100))
            saw, kept = [], []
            project.add_annotator("ann")
            while (found := project.next("ann")) is not None:
                saw.append(project.annotation.load_suggestion(found, "ann"))
                number = project.submit(found.slot, "ann", "safe")
                with project.database.reading() as connection:
                    kept.append((judgment_log.find_context(connection, number) or {}).get("suggested"))
            assert saw == kept
            assert 55 < saw.count("unsafe") < 85 if shown else not any(saw)
            project.close()


def test_what_a_curator_relabelled_tests_nobody(tmp_path):
    project = made(tmp_path, items=40, annotators={"require_qualification": True, "gold_share": 0.5}, redundancy={"audit_share": 0})
    project.add_annotator("ann")
    for number in range(40):
        project.judge(f"i-{number}", "safe", annotator="ann", answer="safe")
        if number < 38:
            curation.curate_item(project, f"i-{number}", "safe", "relabel", answer="unsafe", by="eve")
    assert project.next("ann") is None  # who has judged all: no test of theirs is left to fail
    project.add_annotator("new")
    assert {project.next("new").item for _ in range(2)} <= {"i-38", "i-39"}
    with project.database.reading() as connection:
        who = people.get_key(connection, "ann")
        assert people.find_qualification(connection, who, "safe") is None
        assert gold.answers_with_gold(connection, 1, who) == []
    project.close()
