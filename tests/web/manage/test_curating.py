"""/curate: what a check suspects is decided one by one; what was decided shows in gold, snapshots and guidelines."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from preceptor.snapshots import curation
from preceptor.storage import gold, items, questions, suspects

SNAPSHOT = "0" * 64


@pytest.fixture
def suspected(small):
    """`small`, with three rows that a check suspects: i-007 before i-008 before i-009, and i-008 for another reason too."""
    with small.project.database.writing() as connection:
        question, _ = questions.get(connection, "mood")
        keys = items.keys(connection, ["i-007", "i-008", "i-009"])
        document = {"target": {"neutral": 0.9, "negative": 0.1}, "model": {"positive": 0.8, "neutral": 0.2}, "others": []}
        rows = [(keys[f"i-00{n}"], f"reason {n} <b>", 1.0 - n / 10, document) for n in (7, 8, 9)]
        suspects.add_suspects(connection, question, SNAPSHOT, "label errors", rows)
        other = {"target": {}, "others": ["i-020"], "answers": {"i-020": "positive"}}
        suspects.add_suspects(connection, question, SNAPSHOT, "near duplicates", [(keys["i-008"], "the same as i-020", 0.05, other)])
    return small


def decide(browser, item: str, **fields: str) -> str:
    """Open an item and send its form; the item that comes next, empty when the queue is through."""
    address = f"/curate/item?question=mood&item={item}"
    browser.get(address)
    browser.post(address, **fields)
    return parse_qs(urlsplit(browser.leads_to).query).get("item", [""])[0]


def test_the_gravest_come_first_and_say_why(suspected, words):
    page = suspected.browser("expert").get("/curate")
    said = words(page)
    assert "3 rows to decide, 0 decided" in said
    assert said.index("reason 7") < said.index("reason 8") < said.index("reason 9")
    assert "<b>" not in page.split("reason 7", 1)[1][:20]
    only = words(suspected.browser("expert").get("/curate?check=near+duplicates"))
    assert "the same as i-020" in only
    assert "reason 7" not in only


def test_a_row_shows_people_beside_the_model(suspected, words):
    page = suspected.browser("expert").get("/curate/item?question=mood&item=i-008")
    said = words(page)
    for each in ("What people said", "What the model thinks", "ann", "bob", "zed", "reason 8", "the same as i-020", "Beside it: i-020"):
        assert each in said
    assert "<script>alert" not in page
    assert said.index("positive 80.0 %") > said.index("What the model thinks")


def test_keeping_goes_on_to_the_next(suspected):
    expert = suspected.browser("expert")
    assert decide(expert, "i-007", action="keep") == "i-008"
    assert curation.count_suspects(suspected.project, "mood")["open"] == 2
    assert decide(expert, "i-008", action="keep") == "i-009"
    assert decide(expert, "i-009", action="keep") == ""


def test_a_new_label_is_gold_with_its_reason_and_an_example_for_others(suspected, words):
    expert = suspected.browser("expert")
    decide(expert, "i-007", action="relabel", settled='"positive"', reason="They thank us.", example="1")
    with suspected.project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        assert gold.list_answers(connection, key)["i-007"] == "positive"
    guidelines = words(suspected.browser("annotator").get("/work/guidelines"))
    assert "Examples" in guidelines
    assert "positive : They thank us." in guidelines
    assert "They thank us." in words(expert.get("/curate"))


def test_an_example_that_was_rewritten_shows_both_texts(suspected, words):
    decide(
        suspected.browser("expert"),
        "i-007",
        action="rewrite",
        settled='"negative"',
        text="It came <late>",
        reason="Say when.",
        example="1",
    )
    page = suspected.browser("annotator").get("/work/guidelines")
    assert "It should say It came <late> Rewritten , negative : Say when." in words(page)
    assert "text number 7" in words(page)
    assert "<late>" not in page


def test_a_rejected_row_is_in_no_later_snapshot(suspected):
    decide(suspected.browser("expert"), "i-007", action="reject", reason="No text at all.")
    assert "i-007" not in {row.id for row in suspected.project.snapshot("mood").rows()}


def test_a_rewritten_row_takes_the_place_of_the_old(suspected):
    text = "A parcel that came\nlate. 💩"
    decide(
        suspected.browser("expert"),
        "i-008",
        action="rewrite",
        settled='"negative"',
        text=text.replace("\n", "\r\n"),
        reason="shorter",
    )
    rows = {row.id: row for row in suspected.project.snapshot("mood").rows()}
    assert "i-008" not in rows
    new = next(row for id_, row in rows.items() if id_.startswith("i-008~"))
    assert (new.text, new.answer, new.group) == (text, "negative", "g-4")


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"action": "reject"}, "needs a reason"),
        ({"action": "relabel"}, "which answer is the right one"),
        ({"action": "relabel", "settled": '"furious"'}, "furious"),
        ({"action": "relabel", "settled": "{"}, "choose an answer"),
        ({"action": "rewrite", "text": "  ", "reason": "kept words"}, "what shall it say"),
        ({"action": "burn"}, "burn"),
        ({}, "action"),
        ({"action": "keep", "example": "1"}, "needs a reason"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_kept(suspected, words, fields, fault):
    expert = suspected.browser("expert")
    address = "/curate/item?question=mood&item=i-007"
    expert.get(address)
    page = expert.post(address, 422, **fields)
    assert fault in words(page).lower()
    if "reason" in fields:
        assert fields["reason"] in page  # what was written isn't lost
    assert curation.count_suspects(suspected.project, "mood") == {
        "open": 3,
        "decided": 0,
        "checks": {"label errors": 3, "near duplicates": 1},
    }


def test_a_decision_is_taken_back(suspected):
    expert = suspected.browser("expert")
    decide(expert, "i-007", action="relabel", settled='"positive"')
    expert.get("/curate/item?question=mood&item=i-008&done=i-007")
    expert.post("/curate/undo", question="mood", item="i-007")
    with suspected.project.database.reading() as connection:
        assert "i-007" not in gold.list_answers(connection, questions.get(connection, "mood")[0])
    assert curation.list_suspects(suspected.project, "mood")[0].item == "i-007"


def test_passing_over_leaves_it_open(suspected):
    expert = suspected.browser("expert")
    first = curation.list_suspects(suspected.project, "mood")[0]
    answer = expert.client.get(f"/curate/next?question=mood&after={first.key}")
    assert parse_qs(urlsplit(answer.headers["location"]).query)["item"] == ["i-008"]
    assert curation.count_suspects(suspected.project, "mood")["open"] == 3


def test_an_empty_queue_says_where_rows_come_from(small, words):
    assert "preceptor snapshot check" in words(small.browser("expert").get("/curate"))


@pytest.mark.parametrize(
    "address", ["/curate/item?question=mood&item=nobody", "/curate/item?question=tone&item=i-001", "/curate?question=tone"]
)
def test_what_isnt_there_is_said(small, address):
    assert "There is no" in small.browser("expert").get(address, 404) or "no question" in small.browser("expert").get(address, 404).lower()


def test_annotators_see_nothing_of_it(suspected):
    annotator = suspected.browser("annotator")
    annotator.get("/curate", 403)
    annotator.get("/curate/item?question=mood&item=i-007", 403)
