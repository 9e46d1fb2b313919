"""Answers that are kept: without personal data, for as long as the project says, a share of them drawn by chance."""

from __future__ import annotations

import json

import pytest

from preceptor import Project
from preceptor.errors import NotFoundError
from preceptor.monitoring.response_log import ResponseLog
from preceptor.workspace import PiiRedactor

ASKED = [{"role": "user", "content": "My name is Ann Miller, mail ann.miller@example.org: where is my card?"}]
SAID = "Write to ann.miller@example.org. The card costs 5 euros."


@pytest.fixture
def kept_with(tmp_path):
    """A new project's answers, by what [serving] says."""
    made = []

    def create(name="shop", **serving):
        made.append(Project.create(tmp_path / name, serving=serving))
        return ResponseLog(made[-1])

    yield create
    for project in made:
        project.close()


def cited():
    begin = SAID.index("The card")
    place = {"start": begin, "end": len(SAID), "document": "cards.md", "version": 1, "chunk": 0, "source_start": 5, "source_end": 20}
    return {"citations": [{**place, "text": "costs 5 euros"}], "unsupported": [{"start": 0, "end": begin - 1, "text": SAID[: begin - 1]}]}


def test_personal_data_is_masked_before_it_is_written_and_places_move_along(kept_with, database_url, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    kept = kept_with()
    about = {"tags": {"customer": "ann.miller@example.org"}}
    assert kept.log_response(
        "chatcmpl-1", model="m-1", alias="support", turns=ASKED, text=SAID, others=["ann.miller@example.org"], cited=cited(), **about
    )
    found = kept.get("chatcmpl-1")
    everything = json.dumps(found.document)
    assert "miller" not in everything.lower()
    mask = found.document["answers"][1]["text"]
    assert found.text.count(mask) == 1  # the same value has the same placeholder
    (citation,), (unsupported,) = found.document["citations"], found.document["unsupported"]
    assert found.text[citation["start"] : citation["end"]] == "The card costs 5 euros."
    assert found.text[unsupported["start"] : unsupported["end"]] == f"Write to {mask}."
    assert (citation["document"], citation["source_start"], "text" in citation) == ("cards.md", 5, False)
    assert (found.model, found.alias, found.confidence) == ("m-1", "support", None)


def test_what_lies_within_something_personal_moves_to_its_placeholder():
    scrubber = PiiRedactor(b"0" * 32)
    text = "a ann.miller@example.org b"
    moved, masked = scrubber.offset_mapping(text), scrubber.redact_text(text)
    assert (moved(0), moved(2), moved(10)) == (0, 2, 2)
    assert masked[moved(text.index(" b")) :] == " b"


def test_a_project_may_keep_texts_as_they_are_or_nothing(kept_with):
    plain = kept_with("plain", redact_pii=False)
    plain.log_response("chatcmpl-1", model="m-1", turns=ASKED, text=SAID)
    assert plain.get("chatcmpl-1").text == SAID
    nothing = kept_with("nothing", retention_days=0)
    assert not nothing.log_response("chatcmpl-1", model="m-1", turns=ASKED, text=SAID)
    with pytest.raises(NotFoundError, match="isn't kept"):
        nothing.get("chatcmpl-1")


def test_what_was_kept_long_enough_is_not_found_and_then_gone(kept_with):
    kept = kept_with(retention_days=1e-9)
    kept.log_response("chatcmpl-1", model="m-1", turns=ASKED, text=SAID)
    with pytest.raises(NotFoundError):
        kept.get("chatcmpl-1")
    assert (kept.delete_expired(), kept.delete_expired()) == (1, 0)


def test_a_share_is_drawn_by_chance_and_says_with_which_probability(kept_with):
    kept = kept_with(eval_sample_rate=0.2)
    drawn = [kept.sample_inclusion(f"chatcmpl-{number}") for number in range(2000)]
    assert set(drawn) == {0.0, 0.2}
    assert abs(sum(value > 0 for value in drawn) / 2000 - 0.2) < 4 * (0.2 * 0.8 / 2000) ** 0.5
    for number in range(30):
        kept.log_response(f"chatcmpl-{number}", model="m-1", turns=ASKED, text="yes")
    assert {each.id for each in kept.list_since(0, measured=True)} == {f"chatcmpl-{n}" for n in range(30) if drawn[n]}
    assert len(kept.list_since(0)) == 30


def test_odd_letters_are_kept(kept_with, database_url, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    kept = kept_with()
    kept.log_response("chatcmpl-1", model="m-1", turns=ASKED, text="a\x00b\ufffd")
    assert kept.get("chatcmpl-1").text == "a\x00b\ufffd"
