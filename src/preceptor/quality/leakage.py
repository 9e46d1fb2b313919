"""Find test texts leaked into training: exact and near duplicates, long quotes, shared groups, and shared templates.

Texts made from one template have the same words but for numbers, dates, names, or one place that is filled differently. They may overlap
far less than near duplicates do, and still a model that has seen one knows the other: a test set from the same templates as training
measures how well templates are remembered.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from preceptor.errors import UserError
from preceptor.quality.duplicates import (
    HashArray,
    exact_key,
    find_near_duplicates,
    hash_windows,
    hash_words,
    mix_hashes,
    normalize_text,
    split_words,
    text_jaccard_index,
)
from preceptor.types import IntArray

_QUOTE_WORDS = 13  # words in a row: the contamination check of Brown et al. 2020 (GPT-3), appendix C
_MAX_COMPARED = 64  # training texts of one cluster that a test text is compared with


class TextLeak(NamedTuple):
    """A test text and the training text that leaks it.

    overlap: 1.0 for "exact"; the Jaccard index for "near" (it may lie below the threshold where further texts link the two); for "quote"
    the share of the test text's runs of 13 words that occur in any training text.
    """

    train_index: int
    test_index: int
    kind: Literal["exact", "near", "quote"]
    overlap: float


class GroupLeak(NamedTuple):
    """A test row whose group (a document, a customer) has a row in training too, with the first of them."""

    train_index: int
    test_index: int
    group: str


def find_group_leaks(train_groups: Sequence[str | None], test_groups: Sequence[str | None]) -> list[GroupLeak]:
    """Return each test row whose group occurs in training, in order; rows without a group (None or "") are ignored."""
    first: dict[str, int] = {}
    for index, group in enumerate(train_groups):
        if group:
            first.setdefault(group, index)
    return [GroupLeak(first[group], index, group) for index, group in enumerate(test_groups) if group and group in first]


def find_leaks(
    train_texts: Sequence[str], test_texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0, clusters: Sequence[int] | None = None
) -> list[TextLeak]:
    """Return at most one leak for each test text, the most serious, in order of the test texts.

    Exact: the same `exact_key`. Near: in one cluster of `find_near_duplicates` over both sets. Quote: at least one run of 13 words in
    common, for texts that have as many; texts in scripts without spaces between words have none. clusters: those of the training texts,
    then of the test texts, where they are known.
    """
    gravest = {leak.test_index: leak for leak in _exact_leaks(train_texts, test_texts)}
    rest = [index for index in range(len(test_texts)) if index not in gravest]
    if clusters is None:
        clusters = find_near_duplicates([*train_texts, *test_texts], threshold=threshold, seed=seed).cluster.tolist()
    for leak in [*_near_leaks(train_texts, test_texts, rest, clusters), *_quote_leaks(train_texts, test_texts)]:
        gravest.setdefault(leak.test_index, leak)
    return [gravest[index] for index in sorted(gravest)]


def _exact_leaks(train: Sequence[str], test: Sequence[str]) -> list[TextLeak]:
    first: dict[str, int] = {}
    for index, text in enumerate(train):
        first.setdefault(exact_key(text), index)
    keys = enumerate(map(exact_key, test))
    return [TextLeak(first[key], index, "exact", 1.0) for index, key in keys if key in first]


def _near_leaks(train: Sequence[str], test: Sequence[str], rest: Sequence[int], cluster: Sequence[int]) -> Iterator[TextLeak]:
    """Yield test texts of `rest` with training texts of their cluster, the nearest pairs first."""
    texts = [*train, *test]
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(cluster[: len(train)]):
        members[label].append(index)
    pairs = [(other, index) for index in rest for other in members.get(cluster[len(train) + index], [])[:_MAX_COMPARED]]
    seen, tested = np.array(pairs, np.int64).reshape(-1, 2).T
    overlap = text_jaccard_index(texts, seen, tested + len(train))
    for row in np.lexsort((seen, -overlap)).tolist():
        yield TextLeak(int(seen[row]), int(tested[row]), "near", float(overlap[row]))


def _quote_leaks(train: Sequence[str], test: Sequence[str]) -> list[TextLeak]:
    runs, owner = _hash_runs(train)
    runs, first = np.unique(runs, return_index=True)
    quoted, quoting = _hash_runs(test)
    if not len(runs) or not len(quoted):
        return []
    place = np.searchsorted(runs, quoted).clip(max=len(runs) - 1)
    hit = runs[place] == quoted
    total = np.bincount(quoting, minlength=len(test))
    sources: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for index, source in zip(quoting[hit].tolist(), owner[first[place[hit]]].tolist(), strict=True):
        sources[index][source] += 1
    return [TextLeak(counts.most_common(1)[0][0], index, "quote", counts.total() / int(total[index])) for index, counts in sources.items()]


def _hash_runs(texts: Sequence[str]) -> tuple[HashArray, IntArray]:
    """Return the hash of every run of 13 words of every text, and the index of its text."""
    split = [split_words(normalize_text(text)) for text in texts]
    long = np.array([index for index, text in enumerate(split) if len(text) >= _QUOTE_WORDS], np.int64)
    hashes, counts = hash_windows(*hash_words((split[index] for index in long), _QUOTE_WORDS), _QUOTE_WORDS)
    return hashes, np.repeat(long, counts)


TEMPLATE_SHARE = 0.2  # a cluster above this share of the rows is a template, not duplicates


def cluster_duplicates(texts: Sequence[str]) -> tuple[list[int], int]:
    """Return the duplicate cluster of each text, and how many rows belong to a template, which isn't kept together."""
    return separate_templates(texts, find_near_duplicates(texts).cluster.tolist())


def separate_templates(texts: Sequence[str], near: Sequence[int]) -> tuple[list[int], int]:
    """Split clusters that are templates into clusters of equal texts; return all clusters and how many rows belong to a template.

    near: the cluster of each text. A template is a cluster above TEMPLATE_SHARE of the rows and of three rows or more.
    """
    found = list(near)
    sizes = Counter(found)
    templates = {cluster for cluster, size in sizes.items() if size > max(TEMPLATE_SHARE * len(texts), 2)}
    in_template = [row for row, cluster in enumerate(found) if cluster in templates]
    for row, same in zip(in_template, find_near_duplicates([texts[row] for row in in_template], threshold=1.0).cluster, strict=True):
        found[row] = len(texts) + int(same)  # rows of one template may be separated, but not two of the same text
    return found, len(in_template)


_MAX_SLOT_WORDS = 3  # most words that fill a free slot
_MIN_FRAME_WORDS = 7  # words of a frame with a free slot: shorter ones also arise without a template
_MIN_FRAME_WORDS_WITH_VALUES = 4  # words of a frame whose slots are only numbers, dates, names
_MIN_FRAME_SHARE = 0.6  # the least share of a text's words in its frame
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DIGIT = re.compile(r"\d")
_VALUE_SLOTS = {  # a cheap pre-check, then the pattern; in this order: what one has replaced the next doesn't see
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
_TOKEN_PATTERN = re.compile(r"\{\w+\}|\w+(?:['’]\w+)*")


@dataclass(frozen=True)
class TextTemplate:
    """Texts of one frame.

    frame: its words, with {number}, {date}, {name} … for such values and {…} where up to three words vary. rows: indices of the texts made
    from it, rising; at least `at_least` of them differ.
    """

    frame: str
    rows: tuple[int, ...]


class TemplateLeak(NamedTuple):
    """A test text from a template that training has too, with the first training text from it."""

    train_index: int
    test_index: int
    frame: str


class _TemplateGroup(NamedTuple):
    """Texts with one frame: that of the text `shown`, without the `length` words from `start` on. fixed: how many words the frame has."""

    rows: IntArray
    fixed: int
    shown: int
    start: int
    length: int


def delexicalize(text: str) -> str:
    """Return the text's words in lower case, with `{number}`, `{date}`, `{time}`, `{name}`, `{email}` or `{url}` for such values.

    A name is a run of capitalised words that doesn't begin a sentence.
    """
    for slot, (sign, form) in _VALUE_SLOTS.items():
        if sign.search(text):
            text = form.sub(f"{{{slot}}}", text)
    return " ".join(_TOKEN_PATTERN.findall(normalize_text(text)))


def find_templates(texts: Sequence[str], *, at_least: int = 4) -> tuple[TextTemplate, ...]:
    """Find templates from which at least `at_least` different texts were made, the largest first; a text is in at most one.

    Either the same words, four or more, around differing values; or the same words, seven or more and three fifths of the text, around one
    slot of up to three words. Differences in punctuation and case don't count. People repeat each other too: of the questions that
    customers of a bank wrote themselves (banking77), one in a hundred is taken for one of a template ("how long does it take for a {…} to
    arrive"). Raises UserError where `at_least` is below 2.
    """
    if at_least < 2:
        raise UserError(f"at_least is {at_least}; one text is no template", "4 is usual")
    if not texts:
        return ()
    different, text_of = _first_of_each([" ".join(_TOKEN_PATTERN.findall(normalize_text(text))) for text in texts])
    bare = [delexicalize(texts[index]) for index in different]
    frames, frame_of = _first_of_each(bare)
    words = [bare[index].split(" ") for index in frames]
    groups = [*_groups_by_values(words, frame_of, at_least), *_groups_by_free_slot(words, frame_of, at_least)]
    groups.sort(key=lambda group: (-len(group.rows), -group.fixed, group.shown))
    template = np.full(len(different), -1)
    for number, group in enumerate(groups):
        left = group.rows[template[group.rows] < 0]
        if len(left) >= at_least:
            template[left] = number
    members = defaultdict[int, list[int]](list)
    for row, number in enumerate(template[text_of].tolist()):
        members[number].append(row)
    found = [TextTemplate(_frame_text(groups[number], words), tuple(rows)) for number, rows in members.items() if number >= 0]
    return tuple(sorted(found, key=lambda each: (-len(each.rows), each.rows)))


def find_template_leaks(train_texts: Sequence[str], test_texts: Sequence[str], *, at_least: int = 4) -> list[TemplateLeak]:
    """Return each test text from a template of `find_templates` over both sets that training has too, in order of the test texts.

    Texts that training has word for word are left to `find_leaks`.
    """
    train = len(train_texts)
    known = {normalize_text(text) for text in train_texts}
    found = list[TemplateLeak]()
    for template in find_templates([*train_texts, *test_texts], at_least=at_least):
        if template.rows[0] < train:
            tested = (row - train for row in template.rows if row >= train)
            found += [TemplateLeak(template.rows[0], row, template.frame) for row in tested if normalize_text(test_texts[row]) not in known]
    return sorted(found, key=lambda leak: leak.test_index)


def _first_of_each(texts: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Return the index of the first of each different text, and which of these each text is."""
    numbers: dict[str, int] = {}
    which = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int64, len(texts))
    return np.unique(which, return_index=True)[1], which


def _groups_by_values(words: Sequence[list[str]], frame_of: IntArray, at_least: int) -> Iterator[_TemplateGroup]:
    """Yield groups of texts that differ only in their values."""
    order = np.argsort(frame_of, kind="stable")
    ends = np.cumsum(np.bincount(frame_of, minlength=len(words)))
    for frame, rows in enumerate(np.split(order, ends[:-1])):
        fixed = sum(word[0] != "{" for word in words[frame] if word)
        if len(rows) >= at_least and _MIN_FRAME_WORDS_WITH_VALUES <= fixed < len(words[frame]):
            yield _TemplateGroup(rows, fixed, frame, 0, 0)


def _groups_by_free_slot(words: Sequence[list[str]], frame_of: IntArray, at_least: int) -> Iterator[_TemplateGroup]:
    """Yield groups of texts that differ only in their values and a run of words in one place."""
    keys, owner, start, length, fixed = _candidate_slots(words)
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
            yield _TemplateGroup(np.sort(rows), int(fixed[shown]), int(owner[shown]), int(start[shown]), int(length[shown]))


def _candidate_slots(words: Sequence[list[str]]) -> tuple[HashArray, IntArray, IntArray, IntArray, IntArray]:
    """Return every run of up to three words that may be a slot: (key of all around it, text, start, length, words around it).

    The key is made of two polynomials modulo 2**64, over the words before and over those after, so that it is the same for a slot filled
    with fewer words.
    """
    tokens, lengths = hash_words(words, 1)
    counts = np.concatenate([[0], np.cumsum(np.fromiter((word[:1] == "{" for text in words for word in text), np.int64, len(tokens)))])
    owner = np.repeat(np.arange(len(words)), lengths)
    begin, end = (np.cumsum(lengths) - lengths)[owner], np.cumsum(lengths)[owner]
    at = np.arange(len(tokens))
    power = np.cumprod(np.full(int(lengths.max(initial=1)) + 1, 0x9E3779B97F4A7C15, np.uint64))
    before = np.concatenate([[np.uint64(0)], np.cumsum(tokens * power[at - begin])])
    after = np.concatenate([[np.uint64(0)], np.cumsum(tokens * power[end - 1 - at])])
    found = list[tuple[HashArray, IntArray, IntArray, IntArray, IntArray]]()
    for length in range(1, _MAX_SLOT_WORDS + 1):
        values = counts[end] - counts[begin] - counts[np.minimum(at + length, len(tokens))] + counts[at]
        fixed = end - begin - length - values
        here = np.flatnonzero((at + length <= end) & (fixed >= _MIN_FRAME_WORDS) & (fixed >= _MIN_FRAME_SHARE * (end - begin)))
        head, tail = before[here] - before[begin[here]], after[end[here]] - after[here + length]
        key = mix_hashes(mix_hashes(head + (here - begin[here]).astype(np.uint64)) + tail) + (end[here] - here - length).astype(np.uint64)
        found.append((mix_hashes(key), owner[here], here - begin[here], np.full(len(here), length), fixed[here]))
    keys, owners, starts, sizes, words_around = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return keys, owners, starts, sizes, words_around


def _frame_text(group: _TemplateGroup, words: Sequence[list[str]]) -> str:
    shown = words[group.shown]
    place = ["{…}"] if group.length else []
    return " ".join([*shown[: group.start], *place, *shown[group.start + group.length :]])
