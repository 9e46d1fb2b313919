"""Flag careless annotation with its evidence: answers too fast to have read, all alike, or copied. A person decides.

Each flag compares somebody's recent judgments with those of other people on the same question, and is raised only where chance doesn't
explain it; in a pool where nearly everything has one answer, equal answers mean nothing. Flags block nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np
from scipy.special import bdtrc, betaincinv

RECENT = 50  # judgments that are examined
FEWEST = 20  # judgments by others to compare with
MANY = 100  # judgments from which shares and the 5 % quantile of times are used as they are; below, their confidence limits
READING = 15.0  # words per second; nobody reads faster
HASTY = 0.20  # allowed share of hasty judgments, or twice the pool's
COPIED = 0.05  # allowed share of copied texts, or twice the pool's
TEXT_WORDS = 5  # shorter texts may be equal by chance
BEYOND = 0.002  # probability of so many for somebody whose share is just allowed
RUN = 1e-6  # probability of so long a run of equal answers for somebody who answers like the pool


@dataclass(frozen=True, slots=True)
class AnswerBehavior:
    """How one judgment was made.

    seconds: it took. words: of what was shown. answer: None where each is a text of its own. text: what was written. source: what was shown
    to be corrected or cited. created: Unix time.
    """

    annotator: str
    item: str
    seconds: float | None = None
    words: int = 0
    answer: Any = None
    text: str = ""
    source: str = ""
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class BehaviorFlag:
    """A suspicion. evidence: in words, with its figures. since: the Unix time of the first judgment that belongs to it."""

    kind: Literal["speeding", "straight-lining", "copying"]
    evidence: str
    since: float


@dataclass(frozen=True)
class BehaviorPool:
    """How people work on one question.

    size: judgments. fast: seconds that 95 % of them take at least. hasty, copied: shares of such judgments. shares: of each answer. limits:
    the most that each share may be, which is the share itself in a large pool. unseen: the limit of an answer that nobody gave.
    """

    size: int
    fast: float
    hasty: float
    copied: float
    shares: Mapping[str, float]
    limits: Mapping[str, float]
    unseen: float

    @classmethod
    def from_behavior(cls, work: Iterable[AnswerBehavior]) -> BehaviorPool:
        """Summarise people's judgments on one question, preferably those of trusted people; fewer than 20 of a kind are ignored.

        A pool of fewer than 100 is represented by its limits: half of its fastest time, and of each answer's share the upper end of the 95
        % interval of Clopper and Pearson (1934). Leave whoever is compared with so small a pool out of it.
        """
        known = list(work)
        seconds = [each.seconds for each in known if each.seconds is not None]
        fast = _fast_threshold(seconds)
        hasty = sum(_is_hasty(each, fast) for each in known) / max(len(seconds), 1)
        counts = Counter(_answer_key(each.answer) for each in known if each.answer is not None)
        total = counts.total()
        shares = {answer: count / total for answer, count in counts.items()} if total >= FEWEST else {}
        limits = {answer: _share_limit(counts[answer], total) for answer in shares}
        by_person = groupby(sorted(known, key=lambda each: each.annotator), key=lambda each: each.annotator)
        copies = [copied for _, own in by_person for _, copied in _copies(sorted(own, key=lambda each: each.created))]
        copied = sum(map(bool, copies)) / max(len(copies), 1)
        return cls(len(known), fast, hasty, copied, shares, limits, 1 / MANY if total >= MANY else _share_limit(0, max(total, 1)))

    @property
    def is_large_enough(self) -> bool:
        """Whether the pool has enough judgments to compare with."""
        return self.size >= FEWEST

    @property
    def entropy(self) -> float:
        """The entropy of the answers, in bits."""
        return _entropy(self.shares.values())


def flag_careless_answers(work: Iterable[AnswerBehavior], pool: BehaviorPool) -> list[BehaviorFlag]:
    """Flag careless work in one person's last 50 judgments on one question. Blocks nothing."""
    own = sorted(work, key=lambda each: each.created)
    found = (_speeding(own, pool), _straight_lining(own, pool), _copying(own, pool))
    return [flag for flag in found if flag]


def _speeding(own: Sequence[AnswerBehavior], pool: BehaviorPool) -> BehaviorFlag | None:
    timed = [each for each in own if each.seconds is not None][-RECENT:]
    hasty = [each for each in timed if _is_hasty(each, pool.fast)]
    if not _is_too_much(len(hasty), len(timed), max(HASTY, 2 * pool.hasty)):
        return None
    typical = float(np.median([each.seconds for each in hasty if each.seconds is not None]))
    limit = f"under {pool.fast:.1f} s or faster than {READING:.0f} words a second"
    evidence = (
        f"{len(hasty)} of the last {len(timed)} judgments took {limit} ({typical:.1f} s in the middle); {pool.hasty:.0%} of the pool's do"
    )
    return BehaviorFlag("speeding", evidence, hasty[0].created)


def _straight_lining(own: Sequence[AnswerBehavior], pool: BehaviorPool) -> BehaviorFlag | None:
    """Flag a run of equal answers that is improbable, in answers with less than half of the pool's entropy."""
    answered = [each for each in own if each.answer is not None][-RECENT:]
    if not answered or not pool.shares:
        return None
    keys = [_answer_key(each.answer) for each in answered]
    entropy = _entropy(count / len(keys) for count in Counter(keys).values())
    chance, start, length = min((_chance_of_run(length, keys[start], keys, pool), start, length) for start, length in _runs(keys))
    if entropy >= pool.entropy / 2 or chance >= RUN:
        return None
    said, share = answered[start].answer, pool.shares.get(keys[start], 0.0)
    evidence = (
        f"{said!r} {length} times running in the last {len(keys)} judgments, {share:.0%} of the pool's answers; "
        f"entropy {entropy:.2f} bits, the pool's {pool.entropy:.2f}"
    )
    return BehaviorFlag("straight-lining", evidence, answered[start].created)


def _copying(own: Sequence[AnswerBehavior], pool: BehaviorPool) -> BehaviorFlag | None:
    texts = list(_copies(own))[-RECENT:]
    copies = [(each, how) for each, how in texts if how]
    if len(copies) < 3 or not _is_too_much(len(copies), len(texts), max(COPIED, 2 * pool.copied)):
        return None
    shown = sum(how == "source" for _, how in copies)
    evidence = (
        f"of the last {len(texts)} texts {shown} are what was shown and {len(copies) - shown} were written before for another item; "
        f"{pool.copied:.0%} of the pool's are copied"
    )
    return BehaviorFlag("copying", evidence, copies[0][0].created)


def _fast_threshold(seconds: Sequence[float]) -> float:
    if len(seconds) < FEWEST:
        return 0.0
    return float(np.quantile(seconds, 0.05)) if len(seconds) >= MANY else min(seconds) / 2


def _share_limit(count: int, total: int) -> float:
    return count / total if total >= MANY or count == total else float(betaincinv(count + 1, total - count, 0.975))


def _is_hasty(work: AnswerBehavior, fast: float) -> bool:
    return work.seconds is not None and work.seconds < max(work.words / READING, fast)


def _is_too_much(count: int, total: int, allowed: float) -> bool:
    """Return whether a share is above what is allowed by more than chance: binomial tail below BEYOND."""
    return count > allowed * total and float(bdtrc(count - 1, total, allowed)) < BEYOND


def _copies(own: Iterable[AnswerBehavior]) -> Iterator[tuple[AnswerBehavior, Literal["", "source", "repeat"]]]:
    """Yield one person's longer texts in order of time, with what each is a copy of, ignoring case and white space."""
    seen: dict[str, str] = {}
    for each in own:
        text = _normalize_text(each.text)
        if len(text.split()) >= TEXT_WORDS:
            first = seen.setdefault(text, each.item)
            yield each, "source" if text == _normalize_text(each.source) else "repeat" if first != each.item else ""


def _runs(keys: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield (start, length) of each run of equal answers."""
    start = 0
    for _, run in groupby(keys):
        length = len(list(run))
        yield start, length
        start += length


def _chance_of_run(length: int, answer: str, keys: Sequence[str], pool: BehaviorPool) -> float:
    """Return an upper bound on the probability that any answer has so improbable a run in answers from the pool: the sum over starts."""
    share = pool.limits.get(answer, pool.unseen)
    return len(pool.shares) * share**length * (1 + (len(keys) - length) * (1 - share))


def _entropy(shares: Iterable[float]) -> float:
    known = np.fromiter((share for share in shares if share > 0), np.float64)
    return float(-(known * np.log2(known)).sum())


def _answer_key(answer: Any) -> str:
    return json.dumps(answer, sort_keys=True, default=str)


def _normalize_text(text: str) -> str:
    return " ".join(text.casefold().split())
