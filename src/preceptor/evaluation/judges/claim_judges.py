"""Score whether sources support a claim, and construct unsupported claims to train on.

- `OverlapJudge` needs no model: the share of a claim's words that occur in its sources. The baseline of judges, and the fallback.
- `EntailmentJudge` is a small cross-encoder that reads a claim with the passage of its sources about it.
- `claim_features` describes by word overlap and nine further lexical features, without a model, how well sources support a claim.
- `corrupt_claim` makes a claim wrong on purpose, so that a judge learns to tell it from the true ones without further annotation. A number
  or a name is replaced by another one of the same sources, a word by its opposite or by a word from elsewhere in them, a negation inserted
  or removed (FactCC: Kryściński et al. 2020). Replacements come from the sources where possible, so that no claim looks wrong by itself;
  now and then the altered claim is still true, which training tolerates.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.claims import find_passage
from preceptor.evaluation.judges.judge import JudgeCase
from preceptor.retrieval.text_analysis import extract_stems, split_sentences
from preceptor.types import FloatArray

if TYPE_CHECKING:
    from preceptor.models import TextClassifier


class OverlapJudge:
    """Scores the share of a claim's words (without stop words) that occur in its sources; 1 means supported.

    It can't tell "excludes" from "includes": human labels must show what it is worth.
    """

    name = "word overlap"
    digest = "overlap-1"

    def scores(self, cases: Sequence[JudgeCase]) -> FloatArray:
        """Score each case by word overlap, (n,); NaN for a claim without any word to compare."""
        known: dict[tuple[str, ...], frozenset[str]] = {}
        return np.array([_word_overlap(case, known) for case in cases], dtype=np.float64)

    def evidence(self, case: JudgeCase) -> str:
        """Return the passage of the sources that has most in common with the claim."""
        return find_passage(case.text, case.sources)


def _word_overlap(case: JudgeCase, known: dict[tuple[str, ...], frozenset[str]]) -> float:
    words = extract_stems(case.text)
    if not words:
        return float("nan")
    if case.sources not in known:
        known[case.sources] = frozenset(chain.from_iterable(map(extract_stems, case.sources)))
    return sum(word in known[case.sources] for word in words) / len(words)


SUPPORTED, UNSUPPORTED = "supported", "unsupported"
JUDGE_FILE = "judge.json"  # in the folder of the weights: name, digest and training inputs
_INPUT_SEPARATOR = "[SEP]"
_INPUT_VERSION = "claim-passage-1"  # of `judge_input`: a judge is trained and used on texts built in the same way


def judge_input(claim: str, sources: Sequence[str]) -> str:
    """Build the model's input: the claim first, which is never cut, then the passage of the sources that is about it."""
    parts = (claim, find_passage(claim, sources))
    return f" {_INPUT_SEPARATOR} ".join(" ".join(part.replace(_INPUT_SEPARATOR, " ").split()) for part in parts).strip()


def has_passage(text: str) -> bool:
    """Return whether an input has a passage, which means that the sources share anything with the claim."""
    return not text.endswith(_INPUT_SEPARATOR)


def hash_judge_input(text: str) -> str:
    """Return the hash under which a judge's manifest records that it was trained on an input."""
    return hashlib.sha256(text.lower().encode("utf-8", "surrogatepass")).hexdigest()[:16]


class EntailmentJudge:
    """A trained judge in a folder: the probability that the sources support each claim.

    Raises UserError where the folder holds no judge, or one trained with another input format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.manifest: dict[str, Any] = json.loads((self.folder / JUDGE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(f"there is no judge in {self.folder}", "train one: preceptor judge train FILE") from None
        if self.manifest.get("reading") != _INPUT_VERSION:
            raise UserError(f"the judge in {self.folder} reads texts as another release put them together", "train it anew")
        self.name = str(self.manifest["name"])
        self.digest = str(self.manifest["digest"])

    def scores(self, cases: Sequence[JudgeCase]) -> FloatArray:
        """Score each case, (n,); 0 for a claim about which the sources have no word, since nothing supports it."""
        texts = [judge_input(case.text, case.sources) for case in cases]
        distinct = sorted(filter(has_passage, set(texts)))
        column = self._model.answers.index(SUPPORTED)
        found = dict(zip(distinct, self._model.predict(distinct)[:, column].tolist(), strict=True)) if distinct else {}
        return np.array([found.get(text, 0.0) for text in texts], dtype=np.float64)

    def evidence(self, case: JudgeCase) -> str:
        """Return the passage that the verdict is based on."""
        return find_passage(case.text, case.sources)

    def has_seen(self, case: JudgeCase) -> bool:
        """Return whether the judge was trained on this claim with this passage: its score then shows nothing of its quality."""
        return hash_judge_input(judge_input(case.text, case.sources)) in self._seen

    @cached_property
    def _seen(self) -> frozenset[str]:
        return frozenset(self.manifest["seen"])

    @cached_property
    def _model(self) -> TextClassifier:
        from preceptor.models import TextClassifier

        return TextClassifier(self.folder)


def judge_manifest(name: str, weights: str, seen: Sequence[str], rows: int) -> dict[str, Any]:
    """Build the content of judge.json: the digest that identifies the judge, and the hashes of the inputs it was trained on."""
    digest = hashlib.sha256(f"{_INPUT_VERSION}/{weights}".encode()).hexdigest()
    return {"name": name, "digest": digest, "reading": _INPUT_VERSION, "rows": rows, "seen": sorted(set(map(hash_judge_input, seen)))}


CLAIM_FEATURES = (
    "overlap", "rare overlap", "best sentence", "two best sentences", "pairs of words", "three words on end", "numbers missing",
    "names missing", "negation in one of both", "length",
)  # fmt: skip
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'’-]+")
_NEGATION = re.compile(r"\b(?:not?|never|none|neither|nor|without|cannot|\w+n['’]t)\b", re.IGNORECASE)


def claim_features(cases: Sequence[JudgeCase]) -> FloatArray:
    """Compute the `CLAIM_FEATURES` of each claim and its sources, (cases, 10), each from 0 to 1 except the length (log of words)."""
    return np.array(
        [list(_iter_features(case.text, _SourceFeatures.from_sources(case.sources))) for case in cases], dtype=np.float64
    ).reshape(-1, len(CLAIM_FEATURES))


def _iter_features(claim: str, sources: _SourceFeatures) -> Iterator[float]:
    said = extract_stems(claim)
    words = frozenset(said)
    yield _overlap_share(words, sources.stems)
    weight = {word: sources.rarity(word) for word in words}
    total = sum(weight.values())
    yield sum(weight[word] for word in words & sources.stems) / total if total else 0.5
    best = max(sources.sentences, key=lambda part: len(part.stems & words), default=_SourceSentence("", frozenset()))
    yield _overlap_share(words, best.stems)
    left = words - best.stems
    second = max(sources.sentences, key=lambda part: len(part.stems & left), default=best)
    yield _overlap_share(words, best.stems | second.stems)
    yield _overlap_share(frozenset(pairwise(said)), sources.pairs)
    yield _overlap_share(frozenset(zip(said, said[1:], said[2:], strict=False)), sources.triples)
    yield 1 - _overlap_share(frozenset(_NUMBER.findall(claim)), sources.numbers, empty=1.0)
    yield 1 - _overlap_share(frozenset(name.lower() for name in _NAME.findall(claim)), sources.words, empty=1.0)
    yield float(bool(_NEGATION.search(claim)) != bool(_NEGATION.search(best.text)))
    yield log(1 + len(claim.split()))


def _overlap_share(parts: frozenset[object], of: frozenset[object], empty: float = 0.5) -> float:
    return len(parts & of) / len(parts) if parts else empty


class _SourceSentence:
    def __init__(self, text: str, found: frozenset[str]) -> None:
        self.text, self.stems = text, found


class _SourceFeatures:
    """The features of sources that are compared with a claim, cached since many claims share the same sources."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sentences = [_SourceSentence(text, frozenset(extract_stems(text))) for source in sources for text in split_sentences(source)]
        said = [extract_stems(source) for source in sources]
        self.stems = frozenset(word for source in said for word in source)
        self.pairs = frozenset(pair for source in said for pair in pairwise(source))
        self.triples = frozenset(triple for source in said for triple in zip(source, source[1:], source[2:], strict=False))
        self.numbers = frozenset(number for source in sources for number in _NUMBER.findall(source))
        self.words = frozenset(word for source in sources for word in re.findall(r"[\w'’-]+", source.lower()))
        self._found = Counter(word for part in self.sentences for word in part.stems)

    @staticmethod
    @lru_cache(maxsize=256)
    def from_sources(sources: tuple[str, ...]) -> _SourceFeatures:
        return _SourceFeatures(sources)

    def rarity(self, word: str) -> float:
        return log(1 + (1 + len(self.sentences)) / (1 + self._found[word]))


_ALTERED_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ALTERED_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][\w’'-]+(?: [A-Z][\w’'-]+)*")
_CONTENT = re.compile(r"\b[a-z]{5,}\b")
_AUXILIARY = re.compile(r"\b(?:is|are|was|were|has|have|had|can|could|will|would|should|must|may|does|do|did)\b(?! not)")
_OPPOSITES = """
increase/decrease increased/decreased increases/decreases more/less before/after always/never all/none include/exclude includes/excludes
higher/lower highest/lowest first/last with/without buy/sell bought/sold win/lose won/lost up/down agree/disagree agreed/disagreed
accept/reject accepted/rejected rise/fall rose/fell good/bad better/worse best/worst large/small larger/smaller early/late earlier/later
strong/weak new/old high/low positive/negative many/few success/failure successful/unsuccessful able/unable likely/unlikely can/cannot
begin/end began/ended open/close opened/closed likes/dislikes love/hate happy/sad easy/difficult improve/worsen improves/worsens
improved/worsened reduce/raise reduces/raises reduced/raised growth/decline profit/loss gain/loss outperform/underperform support/oppose
supports/opposes supported/opposed possible/impossible free/paid short/long fast/slow daily/weekly weeks/months days/years
"""
_OPPOSITE_OF = {word: other for pair in _OPPOSITES.split() for word, other in (pair.split("/"), pair.split("/")[::-1])}


def corrupt_claim(claim: str, sources: Sequence[str]) -> str | None:
    """Return a claim like this one that its sources don't support; None where nothing can be altered.

    Deterministic: the same claim and sources give the same result.
    """
    chance = random.Random(hashlib.sha256(claim.encode("utf-8", "surrogatepass")).digest())
    ways = [found for found in _claim_corruptions(claim, " ".join(sources), chance) if found != claim]
    return chance.choice(ways) if ways else None


def _claim_corruptions(claim: str, text: str, chance: random.Random) -> Iterator[str]:
    """Yield one alteration of each kind that the claim allows; opposites twice, since they are what overlap can't see."""
    for pattern in (_ALTERED_NUMBER, _ALTERED_NAME, _CONTENT):
        here = list(pattern.finditer(claim))
        elsewhere = sorted({found for found in pattern.findall(text) if found.lower() not in claim.lower()})
        if here and elsewhere:
            place = chance.choice(here)
            alike = [word for word in elsewhere if pattern is not _CONTENT or word[-2:] == place[0][-2:]]
            yield _replace_match(claim, place, chance.choice(alike or elsewhere))
    if opposite := [place for place in re.finditer(r"[A-Za-z]+", claim) if place[0].lower() in _OPPOSITE_OF]:
        place = chance.choice(opposite)
        yield from [_replace_match(claim, place, _OPPOSITE_OF[place[0].lower()])] * 2
    if " not " in claim:
        yield claim.replace(" not ", " ", 1)
    elif auxiliary := list(_AUXILIARY.finditer(claim)):
        place = chance.choice(auxiliary)
        yield _replace_match(claim, place, f"{place[0]} not")


def _replace_match(claim: str, place: re.Match[str], other: str) -> str:
    return claim[: place.start()] + other + claim[place.end() :]
