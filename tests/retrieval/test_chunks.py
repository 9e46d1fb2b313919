"""Chunks lie where they say, leave nothing out, don't overlap, and are no longer than they may be."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.retrieval.chunks import split_document
from preceptor.retrieval.readers import ExtractedDocument, read_document

_words = st.text(st.sampled_from("ab .!?\n|#>é中-\t"), min_size=1, max_size=400)


def of(text: str, name: str) -> ExtractedDocument:
    return read_document(text.encode(), name, most_bytes=10**6, seconds=10)


@given(_words.filter(str.strip), st.sampled_from(["x.txt", "x.md", "x.html"]), st.integers(5, 60))
def test_chunks_cover_what_the_blocks_say_once(words: str, name: str, longest: int):
    with suppress(UserError):  # a text of signs that are no text
        check(of(words, name), longest)


def check(found: ExtractedDocument, longest: int) -> None:
    chunks = split_document(found, longest)
    covered = [0] * len(found.text)
    for chunk in chunks:
        piece = found.text[chunk.start : chunk.end]
        assert 0 < chunk.end - chunk.start <= longest
        assert piece == piece.strip() or (chunk.start, chunk.end) in {(block.start, block.end) for block in found.blocks} or "\n" in piece
        for place in range(chunk.start, chunk.end):
            covered[place] += 1
    assert max(covered) == 1
    for block in found.blocks:
        assert all(covered[place] or found.text[place].isspace() for place in range(block.start, block.end))


def test_paragraphs_under_one_heading_go_together_while_they_fit():
    found = of("# A\n\none\n\ntwo\n\n# B\n\nthree\n", "x.md")
    assert [(found.text[chunk.start : chunk.end], chunk.heading) for chunk in split_document(found, 20)] == [
        ("one\n\ntwo", "A"),
        ("three", "B"),
    ]
    assert [found.text[chunk.start : chunk.end] for chunk in split_document(found, 5)] == ["one", "two", "three"]


def test_a_long_paragraph_is_cut_between_sentences_then_between_words():
    found = of("Dr. Smith came. He saw it. Then he went to a place with a very long name.", "x.txt")
    assert [found.text[chunk.start : chunk.end] for chunk in split_document(found, 28)] == [
        "Dr. Smith came. He saw it.",
        "Then he went to a place",
        "with a very long name.",
    ]


def test_later_rows_of_a_long_table_know_its_first():
    found = of("# Rates\n\n| country | rate |\n|---|---|\n" + "".join(f"| land {number} | {number} |\n" for number in range(20)), "x.md")
    chunks = split_document(found, 100)
    assert len(chunks) > 2
    assert {chunk.heading for chunk in chunks[1:]} == {"Rates > | country | rate |"}
