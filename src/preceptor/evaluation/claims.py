"""Split a response into claims, and find the passage of its sources for each.

The rules never change under one version: rates per claim depend on what counts as a claim, so the version is kept in each report and rates
of different versions aren't comparable. The rules are for English; other languages are cut at sentence ends only. Where they err, they
leave two statements in one claim, which people then judge as one.

A passage is the part of long sources that a claim is about: what a small judge reads, and what people see with a claim.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import log

from preceptor.evaluation.generation_metrics import starts_with_refusal
from preceptor.retrieval.text_analysis import extract_stems, split_sentences

SPLITTER_VERSION = "rules-1"

_FENCE = re.compile(r"^\s*(```|~~~)")
_BULLET = re.compile(r"^\s*(?:[-*+•‣–]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+(?=\S)")
_MARKUP = re.compile(r"\*\*|__|`|^\s*#{1,6}\s+|^\s*>\s?")
_HEADING = re.compile(r"^\s*#{1,6}\s+|^\s*(\*\*|__)[^*_]+(\*\*|__)\s*$")
_RULE = re.compile(r"^[\s\-=_*|:+]*$")

# how a second statement begins, and what shows that a part states something
_JOINT = re.compile(r"\s*;\s+(?:and |but |however, )?|,\s+(?:and|but|while|whereas|although|though|yet|so)\s+", re.IGNORECASE)
_SUBJECT = re.compile(
    r"(?:it|its|they|their|he|his|she|her|we|our|you|your|i|my|this|that|these|those|there|the|a|an|some|all|both|each|most|many|no)\b"
    r"|[A-Z0-9$£€]",
)
_PRONOUN = re.compile(r"(?:it|they|he|she|we|you|i|there)\s+\w", re.IGNORECASE)  # a subject, after a comma and a conjunction
_BARE = re.compile(r"(?:[a-z'’-]+\s){1,3}(?:is|are|was|were|has|have|had|can|cannot|will|must|may)\b", re.IGNORECASE)  # "calls abroad are"
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|can|could|will|would|shall|should|may|might|must|do|does|did|cannot|isn['’]t|aren['’]t"
    r"|wasn['’]t|weren['’]t|hasn['’]t|haven['’]t|won['’]t|can['’]t|doesn['’]t|don['’]t|didn['’]t|\w{3,}ed|became|began|came|fell|found|gave"
    r"|got|grew|held|kept|led|left|lost|made|met|paid|ran|rose|said|saw|sold|sent|spent|stood|took|told|went|won|wrote|says|costs|covers"
    r"|includes|needs|takes|gives|makes|provides|offers|lies|contains|starts|ends|applies|means|remains|goes|comes|runs)\b",
    re.IGNORECASE,
)
_WORD, _SEMICOLON = re.compile(r"\S+"), re.compile(";")
_MIN_CLAIM_WORDS = 3  # words of each part: shorter parts are elements of an enumeration, not statements

_FILLER = re.compile(
    r"""\W*(?:
    (?:sure|certainly|of\ course|absolutely|okay|ok|hello|hi|thanks?|thank\ you|you['’]re\ welcome|no\ problem)(?:\ \w+){0,3}\W*$
    |dear\ \w+(?:\ \w+)?\W*$|(?:best|kind)\ (?:regards|wishes)\b|sincerely\b
    |(?:i\ |we\ )?(?:hope|trust)\ (?:this|that|it)\b
    |(?:please\ )?(?:let\ me\ know|feel\ free|don['’]t\ hesitate|contact\ us|reach\ out)\b
    |(?:here|below)\ (?:is|are)\b[^.]{0,60}:$|here['’]s\b[^.]{0,60}:$|based\ on\ the\ (?:sources?|documents?|context|text)[^.]{0,30}:$
    |if\ you\ (?:have|need)\ (?:any\ )?(?:more|further|other|questions|additional)\b|i['’](?:d|ll|m)\ (?:be\ )?(?:happy|glad)\ to\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_WE = re.compile(r"\bwe\s(?:can|cannot|won|will|are)", re.IGNORECASE)
_OWN_LIMITS = re.compile(  # "we can't cover that" is a claim about a shop, "we can't answer that" is no claim
    r"\W*+(?:[\w'’ ]+,\s)?(?:but )?(?:i|we)(?:['’]m|\s(?:am|are))?\s"
    r"(?:can['’]?t|cannot|can not|won['’]?t|will not|(?:unable|not able) to)\s"
    r"(?:answer|help|assist|tell|say|find|see|confirm|verify|comply|discuss|share|respond|determine|comment|advise|do that)\b",
    re.IGNORECASE,
)
_UNKNOWING = re.compile(r"\W*(?:i|we)\s(?:do not|don['’]t)\s(?:know|have)\b|\W*(?:i am|i['’]m)\snot\ssure\b", re.IGNORECASE)


def split_claims(response: str) -> tuple[str, ...]:
    """Split a response into its claims, in their order, each once.

    An empty response, a refusal, a question or a greeting has none. A list item is a claim together with the line that introduces the list.
    """
    found = (part for sentence in _claim_sentences(response) for part in _split_statements(sentence))
    return tuple(dict.fromkeys(claim for claim in found if any(map(str.isalnum, claim))))


def _claim_sentences(response: str) -> Iterator[str]:
    """Yield the sentences that state something; list items with what introduces them."""
    introduction, in_points = "", False
    for line, is_point in _text_lines(response):
        if in_points and not is_point:
            introduction = ""
        in_points = is_point
        parts = list(split_sentences(line))
        if not is_point and parts and parts[-1].endswith(":"):
            introduction = "" if _FILLER.match(parts[-1]) else parts[-1]
            parts = parts[:-1]
        said = [part for part in parts if not _is_uncheckable(part)]
        if is_point and introduction and said:
            said[0] = f"{introduction} {said[0]}"
        yield from said


def _text_lines(response: str) -> Iterator[tuple[str, bool]]:
    """Yield (line without its markup, whether it is a list item); headings, code and table rules are left out."""
    fenced = False
    for line in response.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not _RULE.match(line) and not _HEADING.match(line):
            bare = _MARKUP.sub("", line)
            point = _BULLET.match(bare)
            yield " ".join((bare[point.end() :] if point else bare).split()), point is not None


def _split_statements(sentence: str) -> list[str]:
    """Cut a sentence where a second statement with its own subject and verb begins."""
    words, parts, start = _SentenceWords(sentence), [], 0
    for joint in _JOINT.finditer(sentence):
        if words.are_statements(start, joint.start(), joint.end()):
            parts.append(sentence[start : joint.start()].strip())
            start = joint.end()
    return [*parts, sentence[start:].strip()]


class _SentenceWords:
    """Positions of a sentence's words, verbs and semicolons, found once: it may have as many joints as words."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self.words = [word.start() for word in _WORD.finditer(sentence)]
        self.verbs = [verb.start() for verb in _VERB.finditer(sentence)]
        self.semicolons = [mark.start() for mark in _SEMICOLON.finditer(sentence)]

    def are_statements(self, start: int, end: int, after: int) -> bool:
        """Return whether the text from start to end and the text from `after` to the next semicolon are two statements."""
        place = bisect_left(self.semicolons, after)
        until = self.semicolons[place] if place < len(self.semicolons) else len(self.sentence)
        if min(_count_between(self.words, start, end), _count_between(self.words, after, until)) < _MIN_CLAIM_WORDS:
            return False
        if _PRONOUN.match(self.sentence, after, until):
            return True
        has_subject = _SUBJECT.match(self.sentence, after, until) and _count_between(self.verbs, after, until)
        return bool((_BARE.match(self.sentence, after, until) or has_subject) and _count_between(self.verbs, start, end))


def _count_between(places: Sequence[int], start: int, end: int) -> int:
    """Count how many of these rising positions lie from start on and before end."""
    return bisect_left(places, end) - bisect_left(places, start)


def _is_uncheckable(sentence: str) -> bool:
    """Return whether a sentence is a question, refusal, greeting or offer: nothing in it can be checked."""
    declines = _OWN_LIMITS.match(sentence) or (starts_with_refusal(sentence) and not _WE.search(sentence))
    return bool(sentence.endswith("?") or declines or _FILLER.match(sentence) or _UNKNOWING.match(sentence))


PASSAGE_WORDS = 60  # the most words of a passage; a single longer sentence is cut to twice as many
PASSAGE_GAP = " […] "


def find_passage(claim: str, sources: Sequence[str], words: int = PASSAGE_WORDS) -> str:
    """Return the sentences of the sources that share most with a claim, at most `words` words, in their order.

    "" where nothing is shared. Greedy: each next sentence is the one with the most of what the claim says and no chosen one has, rare words
    counting more.
    """
    table = _SentenceTable.from_sources(tuple(sources))
    wanted = {stem: table.rarity(stem) for stem in extract_stems(claim)}
    chosen: list[int] = []
    left = words
    while True:
        gains = [(sum(wanted.get(stem, 0.0) for stem in part), -row) for row, part in enumerate(table.stems)]
        best, row = max(gains, default=(0.0, 0))
        row = -row
        if best <= 0 or (chosen and table.lengths[row] > left):
            break
        chosen.append(row)
        left -= table.lengths[row]
        for stem in table.stems[row]:
            wanted.pop(stem, None)
    return _join_sentences(sorted(chosen), table.sentences, words)


class _SentenceTable:
    """The sentences of sources with their stems, cached since many claims share the same sources."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sentences = [sentence for source in sources for sentence in split_sentences(source)]
        self.stems = [frozenset(extract_stems(sentence)) for sentence in self.sentences]
        self.lengths = [len(sentence.split()) for sentence in self.sentences]
        self._found = Counter(stem for part in self.stems for stem in part)

    @staticmethod
    @lru_cache(maxsize=256)
    def from_sources(sources: tuple[str, ...]) -> _SentenceTable:
        return _SentenceTable(sources)

    def rarity(self, stem: str) -> float:
        return log(1 + len(self.sentences) / (1 + self._found[stem]))


def _join_sentences(rows: Sequence[int], parts: Sequence[str], words: int) -> str:
    text = ""
    for place, row in enumerate(rows):
        glue = "" if not place else " " if row == rows[place - 1] + 1 else PASSAGE_GAP
        text += glue + parts[row]
    cut = text.split(" ")
    return " ".join(cut[: 2 * words]) + (" …" if len(cut) > 2 * words else "")
