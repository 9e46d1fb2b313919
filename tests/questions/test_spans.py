"""`spans`: passages by code points, the end exclusive."""

from __future__ import annotations

import json

import pytest

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds

spans = kinds.get("spans")


def question(**settings):
    return define_question({"name": "q", "kind": "spans", "options": ["person", "place"], "settings": settings})


def span(start, end, label="place"):
    return {"start": start, "end": end, "label": label}


def test_spans_are_sorted():
    assert spans.parse(question(), [span(4, 9), span(0, 3, "person")]) == [span(0, 3, "person"), span(4, 9)]
    assert spans.parse(question(), []) == []


def test_what_is_no_span_is_told(subtests):
    for settings, given, fault in [
        ({}, [span(3, 3)], "span 1 ends at 3, before it has begun at 3"),
        ({}, [span(0, 2), span(5, 4)], "span 2 ends at 4"),
        ({}, [span(-1, 4)], "the start of span 1 must be a whole number"),
        ({}, [span(0, 1.5)], "the end of span 1 must be a whole number"),
        ({}, [span(0, 4, "plaice")], "did you mean 'place'"),
        ({}, [span(0, 4, None)], "None is not a label"),
        ({}, [span(0, 4), span(0, 4)], "stands twice"),
        ({"overlap": True}, [span(0, 4), span(0, 4)], "stands twice"),
        ({}, [span(0, 4), span(3, 6, "person")], "the spans 0–4 and 3–6 overlap"),
        ({}, [{"start": 0, "end": 4, "tag": "place"}], "has no 'tag'"),
        ({}, "0-4", "is a list of at most 10,000 spans"),
        ({}, [span(k, k + 1) for k in range(10_001)], "at most 10,000 spans"),
    ]:
        with subtests.test(settings=settings, given=given, fault=fault), pytest.raises(UserError, match=fault):
            spans.parse(question(**settings), given)


def test_spans_may_touch_and_with_a_setting_overlap():
    assert len(spans.parse(question(), [span(0, 4), span(4, 6)])) == 2
    assert len(spans.parse(question(overlap=True), [span(0, 4), span(3, 6), span(0, 4, "person")])) == 3


def test_a_span_ends_within_the_text_counted_in_code_points():
    text = "Zoë 😀 x"  # 7 code points, 11 bytes, 8 UTF-16 units
    spans.check(question(), spans.parse(question(), [span(0, 7)]), {"text": text})
    with pytest.raises(UserError, match="from 6 to 8 goes beyond the text, which has 7 characters"):
        spans.check(question(), spans.parse(question(), [span(6, 8)]), {"text": text})


def test_a_form_posts_json():
    posted = {"spans": [json.dumps([span(4, 9)])]}
    assert spans.parse(question(), spans.read_form(question(), posted)) == [span(4, 9)]
    assert spans.parse(question(), spans.read_form(question(), {})) == []
    with pytest.raises(UserError, match="is JavaScript on"):
        spans.read_form(question(), {"spans": ["[{"]})


def test_spans_need_labels():
    with pytest.raises(UserError, match="at least one option"):
        define_question({"name": "q", "kind": "spans"})
    with pytest.raises(UserError, match="overlap is true or false"):
        question(overlap="yes")
