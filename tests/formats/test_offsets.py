"""Offsets as other tools count them: repaired where words prove how, for all passages of an item at once, else refused."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.formats.offsets import CODE_POINTS, UTF_8, UTF_16, QuotedSpan, parse_offset, to_code_points, to_utf16

TEXT = "💩 Ada paid 5€"


@pytest.mark.parametrize(("start", "end", "unit"), [(2, 5, CODE_POINTS), (3, 6, UTF_16), (5, 8, UTF_8)])
def test_each_unit_is_recognised_by_the_words(start, end, unit):
    assert to_code_points(TEXT, [QuotedSpan(start, end, "Ada")]) == ([(2, 5)], unit)


def test_the_tools_own_unit_is_believed_without_words():
    assert to_code_points(TEXT, [QuotedSpan(3, 6)], counted=UTF_16) == ([(2, 5)], UTF_16)
    assert to_code_points(TEXT, [QuotedSpan(3, 6)]) == ([(3, 6)], CODE_POINTS)


def test_the_tools_own_unit_comes_first_where_several_fit():
    assert to_code_points("💩aaaa", [QuotedSpan(2, 3, "a")], counted=UTF_16) == ([(1, 2)], UTF_16)
    assert to_code_points("💩aaaa", [QuotedSpan(2, 3, "a")]) == ([(2, 3)], CODE_POINTS)


def test_one_passage_with_words_decides_for_all():
    assert to_code_points(TEXT, [QuotedSpan(3, 6, "Ada"), QuotedSpan(7, 11)]) == ([(2, 5), (6, 10)], UTF_16)


def test_passages_counted_in_two_ways_are_refused():
    with pytest.raises(UserError, match="span 2") as caught:
        to_code_points(TEXT, [QuotedSpan(2, 5, "Ada"), QuotedSpan(7, 11, "paid")])
    assert "'paid' by its own words" in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "counted_on", "quote", "hypothesis"),
    [
        ("one\r\ntwo\r\nthree", "one\ntwo\nthree", "three", r"code points of the text with \n for \r\n"),
        ("one\ntwo\nthree", "one\r\ntwo\r\nthree", "three", r"code points of the text with \r\n for \n"),
        ("one\ntwo\nthree", "one\r\ntwo\r\nthree", "two\r\nthree", r"code points of the text with \r\n for \n"),
        ("Ame\u0301lie paid", "Am\u00e9lie paid", "paid", "code points of the text in NFC"),
        ("Am\u00e9lie 5€ paid", "Ame\u0301lie 5€ paid", "paid", "code points of the text in NFD"),
        ("5€ \u00e0 Am\u00e9lie", "5€ a\u0300 Ame\u0301lie", "Ame\u0301lie", "code points of the text in NFD"),
        ("\u1112\u1161\u11ab x", "\ud55c x", "x", "code points of the text in NFC"),
    ],
)
def test_texts_changed_on_the_way(stored, counted_on, quote, hypothesis):
    start = counted_on.index(quote)
    [(begin, end)], found = to_code_points(stored, [QuotedSpan(start, start + len(quote), quote)])
    assert unicodedata.normalize("NFC", stored[begin:end]).replace("\r\n", "\n") == unicodedata.normalize("NFC", quote).replace(
        "\r\n", "\n"
    )
    assert found == hypothesis


def test_units_and_line_ends_together():
    assert to_code_points("💩\r\nAda", [QuotedSpan(3, 6, "Ada")], counted=UTF_16) == ([(3, 6)], CODE_POINTS)
    assert to_code_points("💩💩\r\nAda", [QuotedSpan(5, 8, "Ada")], counted=UTF_16) == (
        [(4, 7)],
        r"UTF-16 code units of the text with \n for \r\n",
    )


def test_words_with_written_out_line_ends_are_the_same_words():
    assert to_code_points("one\ntwo", [QuotedSpan(0, 7, "one\\ntwo")]) == ([(0, 7)], CODE_POINTS)


@pytest.mark.parametrize(("start", "end"), [(0, 99), (5, 5), (5, 2), (-3, 2), (-1, -1)])
@pytest.mark.parametrize("quote", [None, "Ada"])
def test_nothing_is_clamped(start, end, quote):
    with pytest.raises(UserError, match="span 1"):
        to_code_points(TEXT, [QuotedSpan(start, end, quote)])


def test_half_a_surrogate_pair_is_no_place():
    with pytest.raises(UserError, match="not a passage"):
        to_code_points(TEXT, [QuotedSpan(1, 6)], counted=UTF_16)


def test_no_passages_at_all():
    assert to_code_points("", [], counted=UTF_16) == ([], UTF_16)
    assert to_utf16("", []) == []


def test_offsets_may_be_texts_or_whole_floats():
    assert [parse_offset(value, "start") for value in (3, "3", 3.0)] == [3, 3, 3]
    for value in (True, None, "x", 3.5, "²", [], float("inf"), float("nan"), "9" * 30):
        with pytest.raises(UserError, match="start must be a whole number"):
            parse_offset(value, "start")


TEXTS = st.text(st.sampled_from("ab é\u0301e€\n\r💩👩\u200d가\u1161\u11a8"), min_size=1, max_size=12)


@given(TEXTS, st.data())
def test_a_browsers_offsets_come_back(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    edges = [(start, data.draw(st.integers(start + 1, len(text))))]
    [(begin, end)] = to_utf16(text, edges)
    assert text.encode("utf-16-le")[2 * begin : 2 * end].decode("utf-16-le") == text[edges[0][0] : edges[0][1]]
    assert to_code_points(text, [QuotedSpan(begin, end)], counted=UTF_16) == (edges, UTF_16)


@given(TEXTS, st.lists(st.tuples(st.integers(-2, 30), st.integers(-2, 30), st.none() | TEXTS), max_size=3))
def test_what_is_accepted_says_what_it_quotes(text, found):
    passages = [QuotedSpan(*each) for each in found]
    try:
        edges, _ = to_code_points(text, passages)
    except UserError:
        return
    for passage, (start, end) in zip(passages, edges, strict=True):
        assert 0 <= start < end <= len(text)
        if passage.quote is not None:
            plain = [unicodedata.normalize("NFC", each.replace("\r\n", "\n")) for each in (text[start:end], passage.quote)]
            assert plain[0] == plain[1]
