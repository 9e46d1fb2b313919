"""Handing out work: nobody twice, never too many, nothing lost."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import ConflictError, UserError
from preceptor.storage import Database, items, judgment_log, people, questions, slots
from preceptor.types import Annotator, Item, Question


@pytest.fixture
def database(database_url: str) -> Any:
    opened = Database(database_url)
    yield opened
    opened.close()


def fill(database: Database, *, count: int, wanted: int, annotators: int = 3) -> tuple[int, list[int]]:
    """`count` items with one question; the question's key and the annotators' keys."""
    with database.writing() as connection:
        items.add(connection, [Item(f"i-{n}", {"text": f"text {n}"}, f"i-{n}") for n in range(count)])
        questions.add(connection, Question("q", "choice", ("no", "yes")))
        key, _ = questions.get(connection, "q")
        slots.open_slots(connection, key, items.all_keys(connection), target_count=wanted)
        people.add(connection, [Annotator(f"ann-{n}") for n in range(annotators)])
        return key, [people.get_key(connection, f"ann-{n}") for n in range(annotators)]


def take(database: Database, question: int, annotator: int, lease_seconds: float = 60) -> Any:
    with database.writing() as connection:
        return slots.assign_next(connection, (question, "q"), annotator, lease_seconds=lease_seconds)


def submit(database: Database, slot: int, annotator: int, answer: str = "yes", key: str | None = None) -> tuple[int, bool]:
    with database.writing() as connection:
        return judgment_log.submit_answer(connection, slot, annotator, answer, key=key)


def test_everyone_answers_every_item_once(database):
    question, annotators = fill(database, count=7, wanted=3)
    seen = Counter()
    for annotator in annotators * 8:
        if (found := take(database, question, annotator)) is not None:
            seen[found.item, annotator] += 1
            submit(database, found.slot, annotator)
    assert set(seen.values()) == {1}
    assert len(seen) == 21
    with database.reading() as connection:
        assert slots.question_progress(connection, question) == {
            "slots": 7,
            "target_count": 21,
            "judgment_count": 21,
            "leased": 0,
            "unfinished": 0,
            "open": 0,
        }


def test_a_reload_gets_the_same_slot_again(database):
    question, (annotator, *_) = fill(database, count=5, wanted=1)
    first = take(database, question, annotator)
    assert take(database, question, annotator).slot == first.slot


def test_a_lease_that_expired_returns_by_itself(database):
    question, (first, second, _) = fill(database, count=1, wanted=1)
    assert take(database, question, first, lease_seconds=-1) is not None
    found = take(database, question, second)
    assert found is not None
    submit(database, found.slot, second)
    assert take(database, question, first) is None


def test_an_answer_after_its_lease_expired_is_kept(database):
    question, (first, second, _) = fill(database, count=1, wanted=1)
    late = take(database, question, first, lease_seconds=-1)
    submit(database, take(database, question, second).slot, second)
    _, new = submit(database, late.slot, first)
    assert new
    with database.reading() as connection:
        progress = slots.question_progress(connection, question)
    assert (progress["judgment_count"], progress["leased"]) == (2, 0)


def test_a_retry_with_the_same_key_counts_once(database):
    question, (annotator, other, _) = fill(database, count=1, wanted=2)
    found = take(database, question, annotator)
    number, new = submit(database, found.slot, annotator, key="k")
    assert new
    assert submit(database, found.slot, annotator, key="k") == (number, False)
    with pytest.raises(ConflictError, match="belongs to another answer"):
        submit(database, found.slot, other, key="k")


def test_a_key_is_for_one_judgment(database):
    """The same key with another item was taken for a retry, and the second answer was lost."""
    question, (annotator, *_) = fill(database, count=2, wanted=1)
    submit(database, take(database, question, annotator).slot, annotator, key="k")
    with pytest.raises(ConflictError, match="belongs to another answer"):
        submit(database, take(database, question, annotator).slot, annotator, key="k")


def test_higher_priority_goes_first(database):
    question, (annotator, *_) = fill(database, count=20, wanted=1)
    with database.writing() as connection:
        items.add(connection, [Item("urgent", {"text": "now"}, "urgent")])
        slots.open_slots(connection, question, list(items.all_keys(connection))[-1:], target_count=1, priority=5)
    assert take(database, question, annotator).item == "urgent"


def test_items_given_a_priority_go_first_and_others_keep_theirs(database):
    question, (annotator, other, _) = fill(database, count=20, wanted=2)
    with database.writing() as connection:
        slots.set_priorities(connection, question, {"i-7": 1, "i-12": 2, "nowhere": 9})
        slots.set_priorities(connection, question, {"i-3": 1})
        slots.set_priorities(connection, question, {})
    assert take(database, question, other).item == "i-12"
    with database.reading() as connection:
        assert set(slots.list_untouched_items(connection, question)) == {f"i-{n}" for n in range(20)} - {"i-3", "i-7", "i-12"}
    found = []
    for _ in range(4):
        found.append(take(database, question, annotator))
        submit(database, found[-1].slot, annotator)
    assert [found[0].item, {found[1].item, found[2].item}] == ["i-12", {"i-3", "i-7"}]
    with database.reading() as connection:
        assert found[3].item not in slots.list_untouched_items(connection, question)
        assert len(slots.list_untouched_items(connection, question)) == 16


def test_retraction_opens_slots_again_and_happens_once(database):
    question, (first, second, _) = fill(database, count=3, wanted=1)
    for _ in range(3):
        submit(database, take(database, question, first).slot, first)
    with database.writing() as connection:
        assert judgment_log.retract_annotator(connection, first, by="owner", reason="guessed") == 3
        assert judgment_log.retract_annotator(connection, first, by="owner", reason="again") == 0
    assert take(database, question, second) is not None
    assert take(database, question, first) is None  # who was retracted isn't asked the same again
    with database.reading() as connection:
        assert judgment_log.judgment_columns(connection, question)[0] == []
        assert len(list(judgment_log.list_by_annotator(connection, first))) == 3


def test_judgments_are_insert_only(database):
    from sqlalchemy import text

    question, (annotator, *_) = fill(database, count=1, wanted=1)
    submit(database, take(database, question, annotator).slot, annotator)
    for statement in ("UPDATE judgments SET answer = '\"no\"'", "DELETE FROM judgments"):
        with pytest.raises(UserError, match="insert-only"), database.writing() as connection:
            connection.execute(text(statement))


def test_threads_and_processes_never_over_assign(database_url: str, tmp_path: Path):
    """8 threads and 4 processes empty one queue; every slot ends with exactly what was wanted."""
    import multiprocessing

    database = Database(database_url)
    question, annotators = fill(database, count=60, wanted=3, annotators=12)
    threads = [threading.Thread(target=work, args=(database_url, question, annotator)) for annotator in annotators[:8]]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(database_url, question, annotator)) for annotator in annotators[8:]]
    for worker in [*threads, *processes]:
        worker.start()
    for worker in [*threads, *processes]:
        worker.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    with database.reading() as connection:
        assert {count[:2] for count in slots.counts_by_item(connection, question).values()} == {(3, 3)}
        what, who, _, _ = judgment_log.judgment_columns(connection, question)
    assert len(set(zip(what, who, strict=True))) == len(what) == 180
    database.close()


def work(url: str, question: int, annotator: int) -> None:
    database = Database(url)
    while (found := take(database, question, annotator)) is not None:
        submit(database, found.slot, annotator)
    database.close()
