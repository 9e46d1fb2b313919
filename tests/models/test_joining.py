"""Text while it comes equals text when it is whole, whatever the tokens are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.generation.sampling import IncrementalDetokenizer, decode_token_bytes, format_token_bytes
from preceptor.models.loading import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_chat):
    return load_tokenizer(tiny_chat)


def whole(tokenizer, tokens: list[int]) -> str:
    return tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def streamed(tokenizer, tokens: list[int], stop: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    stream = IncrementalDetokenizer(tokenizer, stop)
    pieces = []
    for token in tokens:
        pieces.append(stream.push(token))
        if stream.stopped:
            return pieces, True
    pieces.append(stream.finish())
    return pieces, stream.stopped


@given(tokens=st.lists(st.integers(0, 296), max_size=30))
def test_pieces_join_to_the_whole_text(tokenizer, tokens):
    pieces, _ = streamed(tokenizer, tokens)
    assert "".join(pieces) == without_a_broken_end(whole(tokenizer, tokens))


def without_a_broken_end(text: str) -> str:
    for _ in range(3):
        text = text.removesuffix("\ufffd")
    return text


@given(text=st.text(max_size=20))
def test_no_character_is_ever_broken(tokenizer, text):
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces, _ = streamed(tokenizer, tokens)
    assert "".join(pieces) == without_a_broken_end(whole(tokenizer, tokens))
    if "\ufffd" not in text and whole(tokenizer, tokens) == text:
        assert not any("\ufffd" in piece for piece in pieces)


@given(text=st.text("abc é💩", max_size=25), stop=st.lists(st.text("abc é💩", min_size=1, max_size=4), min_size=1, max_size=4))
def test_text_ends_before_the_first_stop_sequence_across_tokens(tokenizer, text, stop):
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces, stopped = streamed(tokenizer, tokens, tuple(stop))
    told = "".join(pieces)
    places = [text.find(each) for each in stop if each in text]
    assert stopped == bool(places)
    assert text.startswith(told)
    assert not any(each in told for each in stop)
    if not places:
        assert told == text


def test_a_piece_is_told_as_soon_as_it_can_be(tokenizer):
    stream = IncrementalDetokenizer(tokenizer, ("STOP",))
    tokens = [tokenizer(sign, add_special_tokens=False)["input_ids"][0] for sign in "oSTay"]
    assert [stream.push(token) for token in tokens] == ["o", "", "", "STa", "y"]


@given(text=st.text(max_size=20))
def test_bytes_of_tokens_join_to_the_texts_bytes(tokenizer, text):
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert b"".join(decode_token_bytes(tokenizer, token) for token in tokens) == text.encode()


def test_half_a_character_is_shown_as_its_bytes():
    assert format_token_bytes("é".encode()) == "é"
    assert format_token_bytes(b"\xf0\x9f") == "bytes:\\xf0\\x9f"
