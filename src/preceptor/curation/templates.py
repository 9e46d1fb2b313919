"""Texts made from one template: the same words but for numbers, dates, names, or one place that is filled differently.

Such texts may overlap far less than near duplicates do, and still a model that has seen one knows the other: a test set drawn from the
same templates as training measures how well templates are remembered.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from preceptor.curation.shingles import Hashes, mixed, normalised, word_tokens
from preceptor.domain.results import IntArray
from preceptor.errors import UserError

LONGEST = 3  # words that fill a free place
FIXED = 7  # words of a frame with a free place: with fewer, people who never saw a template fill one too
FIXED_BESIDE_SLOTS = 4  # words of a frame whose places are only numbers, dates, names
SHARE = 0.6  # of a text's words that its frame must hold
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DIGIT = re.compile(r"\d")
_SLOTS = {  # a sign that costs little, then the form; in this order: what one has taken the next doesn't see
    "url": (re.compile(r"://|www\."), re.compile(r"\b(?:https?://|www\.)\S+")),
    "email": (re.compile("@"), re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+")),
    "date": (
        re.compile(r"\d|[dD][aA][yY]\b"),
        re.compile(
            rf"\b(?:\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?|"
            rf"\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}(?:,? \d{{4}})?|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
            re.I,
        ),
    ),
    "time": (_DIGIT, re.compile(r"\b\d{1,2}(?::\d\d){1,2}(?: ?[ap]\.?m\b\.?)?|\b\d{1,2} ?[ap]\.?m\b\.?", re.I)),
    "number": (_DIGIT, re.compile(r"[$€£¥#]?(?<![^\W_])\d[\d.,]*(?:st|nd|rd|th|%|k|m)?(?![^\W_])|\b(?=\w*\d)[A-Za-z\d]{4,}\b")),
    "name": (
        re.compile(r" [A-ZÀ-Þ]"),
        re.compile(r"[A-ZÀ-Þ](?<=[\w,;:'\"(}] [A-ZÀ-Þ])(?<!I(?=\b))[\w'’-]*(?: [A-ZÀ-Þ][\w'’-]*)*"),
    ),
}
_PART = re.compile(r"\{\w+\}|\w+(?:['’]\w+)*")


@dataclass(frozen=True)
class Template:
    """Texts of one frame.

    frame: its words, with {number}, {date}, {name} … where such values stand and {…} where up to three words vary.
    rows: indices of the texts made from it, rising; at least as many different ones as was asked for.
    """

    frame: str
    rows: tuple[int, ...]


class TemplateLeak(NamedTuple):
    """A test text from a template that training has too, with the first training text from it."""

    train_index: int
    test_index: int
    frame: str


class _Group(NamedTuple):
    """Texts with one frame: that of the text `shown`, without the `length` words from `start` on; fixed: its words."""

    rows: IntArray
    fixed: int
    shown: int
    start: int
    length: int


def delexicalised(text: str) -> str:
    """The text's words in lower case, with `{number}`, `{date}`, `{time}`, `{name}`, `{email}` or `{url}` for such values.

    A name is a run of words in capitals that doesn't begin a sentence.
    """
    for slot, (sign, form) in _SLOTS.items():
        if sign.search(text):
            text = form.sub(f"{{{slot}}}", text)
    return " ".join(_PART.findall(normalised(text)))


def templates(texts: Sequence[str], *, at_least: int = 4) -> tuple[Template, ...]:
    """Templates from which at least so many different texts were made, the largest first; a text is in one at most.

    Either the same words, four or more, around differing values; or the same words, seven or more and three fifths of
    the text, around one place of up to three words. What differs only in marks and case isn't different. People repeat
    each other too: of the questions that customers of a bank wrote themselves (banking77), one in a hundred is taken
    for one of a template ("how long does it take for a {…} to arrive"). UserError where `at_least` is below 2.
    """
    if at_least < 2:
        raise UserError(f"at_least is {at_least}; one text is no template", "4 is usual")
    if not texts:
        return ()
    different, text_of = _different([" ".join(_PART.findall(normalised(text))) for text in texts])
    bare = [delexicalised(texts[index]) for index in different]
    frames, frame_of = _different(bare)
    words = [bare[index].split(" ") for index in frames]
    groups = [*_around_values(words, frame_of, at_least), *_around_a_place(words, frame_of, at_least)]
    groups.sort(key=lambda group: (-len(group.rows), -group.fixed, group.shown))
    template = np.full(len(different), -1)
    for number, group in enumerate(groups):
        left = group.rows[template[group.rows] < 0]
        if len(left) >= at_least:
            template[left] = number
    members = defaultdict[int, list[int]](list)
    for row, number in enumerate(template[text_of].tolist()):
        members[number].append(row)
    found = [Template(_frame(groups[number], words), tuple(rows)) for number, rows in members.items() if number >= 0]
    return tuple(sorted(found, key=lambda each: (-len(each.rows), each.rows)))


def template_leaks(train_texts: Sequence[str], test_texts: Sequence[str], *, at_least: int = 4) -> list[TemplateLeak]:
    """Each test text from a template of `templates` over both sets that training has too, in order of the test texts.

    Those that training has word for word are left to `leaks`.
    """
    train = len(train_texts)
    known = {normalised(text) for text in train_texts}
    found = list[TemplateLeak]()
    for template in templates([*train_texts, *test_texts], at_least=at_least):
        if template.rows[0] < train:
            tested = (row - train for row in template.rows if row >= train)
            found += [TemplateLeak(template.rows[0], row, template.frame) for row in tested if normalised(test_texts[row]) not in known]
    return sorted(found, key=lambda leak: leak.test_index)


def _different(texts: Sequence[str]) -> tuple[IntArray, IntArray]:
    """The index of the first of each different text; which of these each text is."""
    numbers: dict[str, int] = {}
    which = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int64, len(texts))
    return np.unique(which, return_index=True)[1], which


def _around_values(words: Sequence[list[str]], frame_of: IntArray, at_least: int) -> Iterator[_Group]:
    """Texts that are the same but for their values."""
    order = np.argsort(frame_of, kind="stable")
    ends = np.cumsum(np.bincount(frame_of, minlength=len(words)))
    for frame, rows in enumerate(np.split(order, ends[:-1])):
        fixed = sum(word[0] != "{" for word in words[frame] if word)
        if len(rows) >= at_least and FIXED_BESIDE_SLOTS <= fixed < len(words[frame]):
            yield _Group(rows, fixed, frame, 0, 0)


def _around_a_place(words: Sequence[list[str]], frame_of: IntArray, at_least: int) -> Iterator[_Group]:
    """Texts that are the same but for their values and a run of words in one place."""
    keys, owner, start, length, fixed = _holes(words)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)
    sizes = np.diff(begins, append=len(keys))
    texts = np.bincount(frame_of, minlength=len(words))
    by_frame = np.argsort(frame_of, kind="stable")
    first = np.cumsum(texts) - texts
    for begin, size in zip(begins[sizes >= 2].tolist(), sizes[sizes >= 2].tolist(), strict=True):
        frames = owner[order[begin : begin + size]]
        if size >= at_least or texts[frames].sum() >= at_least:
            rows = np.concatenate([by_frame[first[frame] : first[frame] + texts[frame]] for frame in frames])
            shown = order[begin]
            yield _Group(np.sort(rows), int(fixed[shown]), int(owner[shown]), int(start[shown]), int(length[shown]))


def _holes(words: Sequence[list[str]]) -> tuple[Hashes, IntArray, IntArray, IntArray, IntArray]:
    """Every run of up to three words that may be a place: (key of all around it, text, start, length, words around it).

    The key is made of two polynomials modulo 2**64, over the words before and over those after, so that a place filled
    with fewer words has the same.
    """
    tokens, lengths = word_tokens(words, 1)
    counts = np.concatenate([[0], np.cumsum(np.fromiter((word[:1] == "{" for text in words for word in text), np.int64, len(tokens)))])
    owner = np.repeat(np.arange(len(words)), lengths)
    begin, end = (np.cumsum(lengths) - lengths)[owner], np.cumsum(lengths)[owner]
    at = np.arange(len(tokens))
    power = np.cumprod(np.full(int(lengths.max(initial=1)) + 1, 0x9E3779B97F4A7C15, np.uint64))
    before = np.concatenate([[np.uint64(0)], np.cumsum(tokens * power[at - begin])])
    after = np.concatenate([[np.uint64(0)], np.cumsum(tokens * power[end - 1 - at])])
    found = list[tuple[Hashes, IntArray, IntArray, IntArray, IntArray]]()
    for length in range(1, LONGEST + 1):
        values = counts[end] - counts[begin] - counts[np.minimum(at + length, len(tokens))] + counts[at]
        fixed = end - begin - length - values
        here = np.flatnonzero((at + length <= end) & (fixed >= FIXED) & (fixed >= SHARE * (end - begin)))
        head, tail = before[here] - before[begin[here]], after[end[here]] - after[here + length]
        key = mixed(mixed(head + (here - begin[here]).astype(np.uint64)) + tail) + (end[here] - here - length).astype(np.uint64)
        found.append((mixed(key), owner[here], here - begin[here], np.full(len(here), length), fixed[here]))
    keys, owners, starts, sizes, words_around = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return keys, owners, starts, sizes, words_around


def _frame(group: _Group, words: Sequence[list[str]]) -> str:
    shown = words[group.shown]
    place = ["{…}"] if group.length else []
    return " ".join([*shown[: group.start], *place, *shown[group.start + group.length :]])
