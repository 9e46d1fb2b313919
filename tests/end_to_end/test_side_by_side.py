"""A blind round from its opening to its end: people with order bias and of different reliability, through next and submit."""

from __future__ import annotations

import json

import pytest

from preceptor import Project, UserError
from preceptor.runs.comparison import ComparisonOptions, close_decided_pairs, compare_side_by_side
from preceptor.storage import items
from side_rounds import NAMES, Person, answers_of, work


@pytest.fixture
def people():
    """Four people who err as if this were their first round: each draws from numbers of their own."""
    return [
        Person("ann", right=0.95),
        Person("bob", right=0.9, left=6),
        Person("cid", right=0.85, left=6),
        Person("dan", right=0.55),
    ]


@pytest.fixture
def project(tmp_path):
    made = Project.create(tmp_path / "p", annotators={"gold_share": 0})
    made.add_question("mood", "choice", ["good", "bad"])
    yield made
    made.close()


def two(count=60, gap=12, **more):
    return [answers_of(NAMES[0], count, 50 + gap, **more), answers_of(NAMES[1], count, 50, **more)]


def test_the_better_model_is_found_blind_and_asking_ends_when_it_is(project, people):
    answers = two(150)
    opened = compare_side_by_side(project, answers, ComparisonOptions(people=3))
    planned = 3 * (150 - opened["matches"][0]["same"])
    assert opened["round"] == {"opened": True, "given": 0, "left": planned, "planned": planned}
    name = opened["question"]
    seen = []
    for _ in range(20):
        seen += work(project, people, name, most=30)
        if close_decided_pairs(project, name):
            break
    found = compare_side_by_side(project, answers)
    match = found["matches"][0]
    assert match["better"] == NAMES[0]
    assert match["win_rate"].low > 0.5
    assert found["round"]["left"] == 0
    assert found["round"]["given"] < 0.7 * planned
    assert work(project, people, name) == []
    assert found["ranking"] == [NAMES[0], NAMES[1]]
    shown = json.dumps([[each.item, each.content, each.question, each.slot] for each in seen])
    assert not any(model in shown or model.removesuffix("-secret") in shown for model in NAMES)
    sides = {item.id: item.metadata["models"] for item in _items(project, name)}
    assert {tuple(models) for models in sides.values()} == {NAMES[:2], NAMES[1::-1]}  # both orders occur


def test_prompts_are_finished_one_after_the_other(project, people):
    name = compare_side_by_side(project, two(100), ComparisonOptions(people=3))["question"]
    work(project, people, name, most=90)
    match = compare_side_by_side(project, two(100))["matches"][0]
    assert match["finished"] >= 20  # of 30 that 90 votes can finish, and 4 if everybody began elsewhere


def test_biases_of_people_are_found(project):
    answers = two(100, gap=4)
    people = [*(Person(f"person-{number}", right=0.95, left=15) for number in range(15)), Person("contrary", right=0.1, left=15)]
    name = compare_side_by_side(project, answers, ComparisonOptions(people=6))["question"]
    work(project, people, name)
    found = compare_side_by_side(project, answers)
    assert found["order_bias"].low > 0
    with_others = {each["annotator"]: each["with_others"].value for each in found["annotators"]}
    assert min(with_others, key=with_others.get) == "contrary"
    assert found["tie_rate"].value > 0
    assert found["matches"][0]["finished"] + found["matches"][0]["same"] + found["matches"][0]["waiting"] == 100


def test_three_models_are_ranked_and_decided_pairs_are_asked_no_more(project, people):
    answers = [answers_of(name, 60, quality) for name, quality in zip(NAMES, (75, 50, 46), strict=True)]
    name = compare_side_by_side(project, answers, ComparisonOptions(people=2))["question"]
    for _ in range(20):
        work(project, people, name, most=40)
        found = compare_side_by_side(project, answers)
    decided = {frozenset((match["first"], match["second"])): match["better"] for match in found["matches"]}
    assert decided[frozenset(NAMES[:2])] == decided[frozenset((NAMES[0], NAMES[2]))] == NAMES[0]
    assert found["ranking"][0] == NAMES[0]
    assert found["matches"][0]["win_rate"].confidence == pytest.approx(1 - 0.05 / 3)
    waiting = {frozenset((match["first"], match["second"])): match["waiting"] for match in found["matches"]}
    assert waiting[frozenset(NAMES[1:])] == 0
    assert found["round"]["given"] < found["round"]["planned"]


def test_a_round_goes_on_and_keeps_to_what_it_was_begun_with(project, people):
    answers = two(20)
    name = compare_side_by_side(project, answers, ComparisonOptions(people=2, prompts=10))["question"]
    work(project, people[:1], name, most=4)
    again = compare_side_by_side(project, answers)
    assert again["question"] == name
    assert again["votes"] == 4
    assert again["asked"] == 10
    assert again["people"] == 2
    assert close_decided_pairs(project, name) == 0
    assert close_decided_pairs(project, "mood") is None
    with pytest.raises(UserError, match=r"was begun with --people 2"):
        compare_side_by_side(project, answers, ComparisonOptions(people=3))
    with pytest.raises(UserError, match="is a round of other answers"):
        compare_side_by_side(project, two(20, seed=9), ComparisonOptions(question=name))
    with pytest.raises(UserError, match="there is another question called 'mood'"):
        compare_side_by_side(project, answers, ComparisonOptions(question="mood"))


def test_a_round_and_other_questions_keep_to_themselves(project):
    project.add_items([{"id": "i-1", "text": "a text"}])
    name = compare_side_by_side(project, two(5), ComparisonOptions(people=1))["question"]
    project.add_items([{"id": "i-2", "text": "a later text"}])
    project.add_question("tone", "choice", ["warm", "cold"])
    assert {found.item for found in work(project, [Person("ann")], name)} == {item.id for item in _items(project, name)}
    handed = set()
    project.add_annotator("ann")
    while (found := project.next("ann")) is not None:
        handed.add((found.question, found.item))
        project.submit(found.slot, "ann", "good" if found.question == "mood" else "warm")
    assert handed == {(question, item) for question in ("mood", "tone") for item in ("i-1", "i-2")}


def test_a_person_taken_out_takes_their_votes_and_others_are_asked(project):
    answers = two(20)
    name = compare_side_by_side(project, answers, ComparisonOptions(people=2))["question"]
    people = [Person("ann"), Person("bob")]
    work(project, people, name)
    whole = compare_side_by_side(project, answers)
    project.retract("bob", by="boss", reason="guessed")
    left = compare_side_by_side(project, answers)
    assert left["votes"] == whole["votes"] / 2
    assert left["matches"][0]["finished"] == 0
    work(project, [Person("cid")], name)
    assert compare_side_by_side(project, answers)["matches"][0]["finished"] == whole["matches"][0]["finished"]


def test_an_opening_that_was_cut_off_goes_on(project, monkeypatch):
    from preceptor.runs import comparison

    answers, put, calls = two(40), comparison.question_admin.enqueue_items, []

    def broken(*args, **given):
        calls.append(args)
        if len(calls) == 3:
            raise OSError("no space left")
        return put(*args, **given)

    monkeypatch.setattr(comparison.question_admin, "enqueue_items", broken)
    with pytest.raises(OSError, match="no space"):
        compare_side_by_side(project, answers, ComparisonOptions(people=1))
    state = compare_side_by_side(project, answers)["round"]
    assert state["left"] == state["planned"]
    assert len(calls) == 5  # two of four waves, one that failed, and two more


def test_without_a_queue_nobody_is_asked(project):
    found = compare_side_by_side(project, two(5), ComparisonOptions(queue=False))
    assert found["round"] == {"opened": False, "given": 0, "left": 0}
    assert found["matches"][0]["win_rate"] is None
    assert [question.name for question in project.questions()] == ["mood"]


def _items(project, name):
    from preceptor.storage import items

    with project.database.reading() as connection:
        return list(items.stream(connection, name))


def test_the_models_may_be_named_in_any_order_and_each_stands_first_at_half_of_the_prompts(project):
    answers = two(21)
    first = compare_side_by_side(project, answers)
    again = compare_side_by_side(project, answers[::-1])
    assert again["question"] == first["question"]
    assert again["round"]["planned"] == first["round"]["planned"]
    with project.database.reading() as connection:
        stands = [item.metadata["models"][0] for item in items.stream(connection, first["question"])]
    assert abs(stands.count(answers[0].subject) - stands.count(answers[1].subject)) <= 1
