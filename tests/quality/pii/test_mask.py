"""Placeholders: the same for the same value, in no way the value itself, and set where it stood."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.quality.pii import find_pii, mask_pii, new_mask_key, pii_placeholder

KEY = b"0123456789abcdef0123456789abcdef"


def masked(text, key=KEY):
    return mask_pii(text, find_pii([text]), key)


def test_values_give_way_to_placeholders():
    text = "👩‍🦰 Jana: jana@web.de, +49 171 1234567! ✅"
    assert re.fullmatch(r"👩‍🦰 Jana: \[EMAIL-[a-z2-7]{8}\], \[PHONE-[a-z2-7]{8}\]! ✅", masked(text))
    assert masked("nothing here") == "nothing here"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("email", ["jana@web.de", "JANA@web.de", "jana (at) web (dot) de", "jana at web dot de", "jana @ web.de"]),
        ("phone", ["+44 7700 900461", "07700 900461", "0044 7700-900461", "+44 (0)7700 900 461"]),
        ("phone", ["+1 202-555-0143", "(202) 555-0143", "1 202 555 0143"]),
        ("iban", ["DE89 3704 0044 0532 0130 00", "de89370400440532013000"]),
        ("es_dni", ["12345678Z", "12.345.678-z"]),
    ],
)
def test_however_it_is_set_a_value_has_one_placeholder(kind, values):
    assert len({pii_placeholder(kind, value, KEY) for value in values}) == 1


def test_other_values_keys_and_kinds_have_others():
    keys = [new_mask_key() for _ in range(20)]
    assert len({pii_placeholder("email", "jana@web.de", key) for key in keys}) == 20
    assert pii_placeholder("email", "jana@web.de", KEY) != pii_placeholder("email", "jana2@web.de", KEY)
    assert pii_placeholder("secret", "abcDEF123", KEY) != pii_placeholder("secret", "ABCdef123", KEY)
    assert pii_placeholder("record", "12345678", KEY)[-9:] != pii_placeholder("passport", "12345678", KEY)[-9:]


def test_ten_thousand_values_have_as_many_placeholders():
    assert len({pii_placeholder("email", f"p{number}@web.de", KEY) for number in range(10_000)}) == 10_000


@given(
    st.lists(
        st.sampled_from(["jana@web.de", "+49 171 1234567", "👩‍👧", " and\n", "4111 1111 1111 1111", "é", "12345678Z", "x"]), max_size=12
    )
)
def test_a_masked_text_holds_nothing_more_and_keeps_all_else(parts):
    text = "; ".join(parts)
    found = list(find_pii([text]))
    after = mask_pii(text, found, KEY)
    assert list(find_pii([after])) == []
    assert masked(after) == after
    pieces = re.split("|".join(re.escape(pii_placeholder(each.kind, each.text, KEY)) for each in found) or "(?!)", after)
    assert [piece for piece in pieces if piece.strip()] == [
        piece for piece in re.split("|".join(re.escape(each.text) for each in found) or "(?!)", text) if piece.strip()
    ]


def test_no_canary_is_left_in_a_masked_text(planting):
    for each in planting.plant(["Nothing to see here. Go on."], 3):
        if masked(each.text) != each.text:
            assert each.canary.value not in masked(each.text)


def test_findings_of_another_text_are_refused():
    (finding,) = find_pii(["write to jana@web.de"])
    with pytest.raises(UserError, match=r"email at 9.*this very text"):
        mask_pii("write to nobody at all", [finding], KEY)
    with pytest.raises(UserError, match="doesn't fit"):
        mask_pii(finding.text.rjust(20), [finding, finding], KEY)


def test_a_key_that_could_be_guessed_is_refused():
    with pytest.raises(UserError, match="4 bytes"):
        pii_placeholder("email", "jana@web.de", b"1234")
    assert len(new_mask_key()) == 32
