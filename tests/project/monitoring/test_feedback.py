"""What is said of served answers: kept once, turned into items with the right question, and put first by what it is worth."""

from __future__ import annotations

import pytest

from preceptor import UserError
from preceptor.errors import ConflictError, NotFoundError
from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.monitoring.live_quality import list_verdicts, queue_sampled_responses
from preceptor.monitoring.user_feedback import UserFeedback
from preceptor.storage import feedback, items, slots


def row_of(project, document):
    with project.database.reading() as connection:
        return feedback.list_by_answer(connection, document["answer"])[-1]


def item_of(project, document):
    with project.database.reading() as connection:
        return items.by_key(connection, row_of(project, document)["item"])


def slots_of(project, name):
    with project.database.reading() as connection:
        return slots.counts_by_item(connection, {each.name: key for key, each in project.cache.active_questions(connection)}[name])


def test_a_correction_is_a_target_and_a_pair_at_once_and_a_person_looks(shop, served):
    given, new = UserFeedback(shop).submit(served(shop), "correction", "Yes, write to bob@example.org.", by="app", key="k")
    assert new
    assert given["correction"].startswith("Yes, write to ")
    assert "bob@example.org" not in str(row_of(shop, given)), "personal data is masked before it is kept"
    consensus = shop.consensus("live-answer")
    assert consensus.composed[0]["text"] == given["correction"]
    shop.add_annotator("ann")
    work = shop.next("ann")
    assert (work.question, work.content["completion"], work.judgment_count) == ("live-answer", "No.", 1)
    assert "ada@example.org" not in str(work.content)


def test_a_text_is_read_by_a_person_beside_the_answer(shop, served):
    given, _ = UserFeedback(shop).submit(served(shop), "text", "It isn't true", by="app")
    shop.add_annotator("ann")
    work = shop.next("ann")
    assert work.content["sources"] == [{"title": "What was said of the response", "text": "It isn't true"}]
    shop.submit(work.slot, "ann", {"text": "Yes.", "from": "No."})
    assert item_of(shop, given).id == work.item


def test_thumbs_are_judgments_of_customers_with_a_reliability_of_their_own(shop, served):
    shop.add_annotator("ann")
    for number in range(6):
        UserFeedback(shop).submit(served(shop, number), "thumb", "up" if number % 2 else "down", by="app")
        shop.judge(f"rated-chatcmpl-{number}", "live-good", annotator="ann", answer="good" if number % 2 else "bad")
    consensus = shop.consensus("live-good")
    assert consensus.annotators["customers of app"].judgments == 6
    assert {"good", "bad"} == set(consensus.top)


def test_a_person_looks_where_it_surprises(shop, served):
    said = [
        ("down", 0.9, 1),
        ("up", 0.9, 0),
        ("up", 0.2, 1),
        ("down", 0.2, 0),
        ("down", None, 1),
        ("up", None, 0),
        (1, 0.8, 1),
        (4, 0.8, 0),
    ]
    for number, (word, confidence, asked) in enumerate(said):
        kind, name = ("thumb", "live-good") if isinstance(word, str) else ("stars", "live-stars")
        UserFeedback(shop).submit(served(shop, number, confidence=confidence), kind, word, by="app")
        count = slots_of(shop, name)[f"rated-chatcmpl-{number}"]
        assert (count.judgment_count, count.target_count, count.open) == (1, 1 + asked, bool(asked)), (word, confidence)


def test_what_surprises_most_comes_first(shop, served):
    for number, confidence in enumerate([0.6, 0.95, 0.8]):
        UserFeedback(shop).submit(served(shop, number, confidence=confidence), "thumb", "down", by="app")
    handed = []
    shop.add_annotator("ann")
    for _ in range(3):
        work = shop.next("ann")
        handed.append(work.item)
        shop.submit(work.slot, "ann", "bad")
    assert handed == ["rated-chatcmpl-1", "rated-chatcmpl-2", "rated-chatcmpl-0"]
    assert shop.status()["cost"]["judgments"] == 0.15, "ann is paid for three; customers aren't"


def test_feedback_moves_nothing_of_the_stream_that_measures(shop, served):
    """A thumb down on a drawn answer must neither take a person's place nor bring the item forward."""
    for number in range(6):
        served(shop, number, inclusion=0.5, confidence=0.9)
    UserFeedback(shop).submit("chatcmpl-0", "thumb", "down", by="app")
    assert queue_sampled_responses(shop) == 5
    assert queue_sampled_responses(shop) == 0
    UserFeedback(shop).submit("chatcmpl-1", "thumb", "down", by="app")
    counts = slots_of(shop, "live-good")
    assert {id_: (count.target_count - count.judgment_count, count.open) for id_, count in counts.items()} == dict.fromkeys(
        counts, (1, True)
    )
    with shop.database.reading() as connection:
        levels = connection.exec_driver_sql("SELECT DISTINCT priority FROM slots JOIN items i ON i.pk = item WHERE purpose = 'live/rated'")
        assert len(levels.all()) == 1
    assert list_verdicts(shop) == [], "what customers say is no verdict"
    shop.add_annotator("ann")
    while (work := shop.next("ann")).question == "live-good":
        shop.submit(work.slot, "ann", "good")
    assert [(each.good_share, each.inclusion) for each in list_verdicts(shop)] == [(1.0, 0.5)] * 6


def test_the_same_key_counts_once_and_belongs_to_its_program(shop, served):
    answer = served(shop)
    first, new = UserFeedback(shop).submit(answer, "thumb", "up", by="app", key="k")
    assert UserFeedback(shop).submit(answer, "thumb", "up", by="app", key="k") == (first, False)
    assert new
    with pytest.raises(ConflictError, match="under this key"):
        UserFeedback(shop).submit(answer, "thumb", "down", by="app", key="k")
    assert UserFeedback(shop).submit(answer, "thumb", "down", by="other", key="k")[1]


def test_what_cannot_be_said_is_refused(shop, served):
    answer = served(shop)
    for kind, said, words in (
        ("thumb", "sideways", "up or down"), ("stars", 6, "1 to 5"), ("stars", True, "1 to 5"), ("text", " ", "empty"),
        ("text", "\ud800", "half"), ("correction", "x" * 20_001, "20,001 characters"), ("mood", "good", "can't be"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            UserFeedback(shop).submit(answer, kind, said, by="app")
    with pytest.raises(UserError, match="a key has"):
        UserFeedback(shop).submit(answer, "thumb", "up", by="app", key="")


def test_only_of_answers_that_are_kept(shop):
    with pytest.raises(NotFoundError, match="isn't kept"):
        UserFeedback(shop).submit("chatcmpl-0", "thumb", "up", by="app")


def test_feedback_on_a_persons_answer_is_none_on_the_models_draft(shop, served):
    answer = served(shop, inclusion=1.0, confidence=0.2)
    turns = [{"role": "user", "content": "Can I return the 1 shoes?"}]
    DeferredAnswers(shop).defer(answer, "m-1", turns, "No.", 0.2, shop.programs[0].credential, 60)
    with pytest.raises(ConflictError, match="left to a person"):
        UserFeedback(shop).submit(answer, "thumb", "down", by="app")
    shop.add_annotator("ann")
    work = shop.next("ann")
    shop.submit(work.slot, "ann", {"text": "Yes.", "from": "No."})
    given, _ = UserFeedback(shop).submit(answer, "thumb", "up", by="app")
    assert item_of(shop, given).content["responses"] == ["Yes."]
    assert given["answer"] == answer
    queue_sampled_responses(shop)
    assert {id_: count.judgment_count for id_, count in slots_of(shop, "live-good").items()} == {
        f"rated-{answer}": 0,
        f"rated-{answer}-by-a-person": 1,
    }


def test_a_link_is_of_one_answer(shop):
    links = UserFeedback(shop)
    path, _, sign = links.page_path("chatcmpl-1").partition("?sign=")
    assert path == "/feedback/chatcmpl-1"
    assert links.is_valid_signature("chatcmpl-1", sign)
    assert not links.is_valid_signature("chatcmpl-2", sign)
    assert not links.is_valid_signature("chatcmpl-1", "é")
