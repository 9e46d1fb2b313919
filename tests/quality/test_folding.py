"""Texts made alike, whose places still point at the text as it was written."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preceptor.quality.text_normalization import fold_characters, fold_term, normalize_characters


def test_what_only_looks_different_is_alike(subtests):
    for written, seen in [
        ("a plain text", "a plain text"),
        ("two  spaces\n\nand a\tbreak", "two spaces and a break"),
        ("hard\u00a0\u202f \u2003spaces", "hard spaces"),
        ("zero\u200bwidth and soft\u00adhyphen", "zerowidth and softhyphen"),
        ("compe-\n  titor", "competitor"),
        ("well-known", "well-known"),
        ("1-\n2", "1- 2"),
        ("“Hi” isn’t – really", '"Hi" isn\'t - really'),
        ("this is **not** _legal_ `advice`, snake_case", "this is not legal advice, snake_case"),
        ("ｗｉｄｅ ４１１１", "wide 4111"),
        ("cafe\u0301", "café"),
        ("ﬁne", "fine"),
    ]:
        with subtests.test(written=written, seen=seen):
            assert normalize_characters(written).text == seen


@pytest.mark.parametrize(("written", "seen"), [("CAFÉ", "cafe"), ("Zеndеѕk", "zendesk"), ("Straße", "strasse"), ("ΑΒС", "aβc")])
def test_folded_has_no_case_no_accents_and_no_look_alikes(written, seen):
    assert fold_term(written) == seen


def test_a_place_is_one_in_the_text_as_it_was_written():
    written = "We  like **Best\u00a0\nBuy\u2019s** café"
    seen = fold_characters(normalize_characters(written))
    start = seen.text.index("best buy's")
    place = seen.original_span(start, start + len("best buy's"))
    assert written[slice(*place)] == "Best\u00a0\nBuy\u2019s"


@given(st.text(alphabet=st.sampled_from("ab -\n\t_*’\u00a0\u200b\u00adée\u0301ｗßЅſİ“漢"), max_size=40))
@example(" \u0301 ")
def test_places_are_in_order_and_within_the_text(written):
    for seen in (normalize_characters(written), fold_characters(normalize_characters(written))):
        assert len(seen.text) == len(seen.starts) == len(seen.ends)
        assert all(0 <= start < end <= len(written) for start, end in zip(seen.starts, seen.ends, strict=True))
        assert list(seen.starts) == sorted(seen.starts)
        assert "  " not in seen.text
    assert (
        normalize_characters(normalize_characters(written).text).text.strip() == normalize_characters(written).text.strip()
        or "_" in written
        or "*" in written
        or "-" in written
    )
