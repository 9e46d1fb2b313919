"""Two at the same moment: one wins, the other is told or agrees; nothing is counted twice."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from preceptor.errors import ConflictError
from preceptor.storage import Database, events, items, judgment_log, people, questions, slots
from preceptor.types import Annotator, Item, Question

THREADS = 6


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    with opened.writing() as connection:
        items.add(connection, [Item("i-1", {"text": "a"}, "i-1")])
        questions.add(connection, Question("q", "choice", ("no", "yes")))
        slots.open_slots(connection, 1, items.all_keys(connection), target_count=THREADS)
        people.add(connection, [Annotator(f"ann-{n}") for n in range(THREADS)])
    yield opened
    opened.close()


def all_at_once(work) -> list:
    """What each thread's work returned or raised."""
    barrier, found = threading.Barrier(THREADS), []

    def run(number):
        barrier.wait()
        try:
            found.append(work(number))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_a_key_that_comes_from_everywhere_counts_once(database):
    def submit(_):
        with database.writing() as connection:
            return judgment_log.submit_answer(connection, 1, 1, "yes", key="k")

    found = all_at_once(submit)
    assert Counter(new for _, new in found) == {True: 1, False: THREADS - 1}
    assert len({number for number, _ in found}) == 1
    with database.reading() as connection:
        assert slots.counts_by_item(connection, 1)["i-1"][:2] == (THREADS, 1)


def test_the_same_new_item_from_everywhere_is_one_item(database):
    def add(_):
        with database.writing() as connection:
            return items.add(connection, [Item("new", {"text": "n"}, "new")])

    found = all_at_once(add)
    assert [each for each in found if isinstance(each, int)].count(1) == 1
    assert all(each in (0, 1) or isinstance(each, ConflictError) for each in found)
    with database.reading() as connection:
        assert items.count(connection) == 2


def test_the_audit_log_stays_one_chain(database):
    def record(number):
        for _ in range(5):
            with database.writing() as connection:
                events.record_event(connection, "something", {"number": number})

    assert all_at_once(record) == [None] * THREADS
    with database.reading() as connection:
        assert len(list(events.read_events(connection))) == 5 * THREADS


def test_a_reader_sees_one_moment(database):
    """What another writes between two statements of a reading transaction is not in the second."""
    with database.reading() as reader:
        before = judgment_log.last_number(reader)
        with database.writing() as writer:
            judgment_log.submit_answer(writer, 1, 1, "yes")
        assert judgment_log.last_number(reader) == before
    with database.reading() as reader:
        assert judgment_log.last_number(reader) == before + 1
