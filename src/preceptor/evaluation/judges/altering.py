"""Claims made wrong on purpose: what a judge learns to tell from the true ones, without anybody labelling more.

A number or a name is replaced by another one of the same sources, a word by its opposite or by a word from elsewhere in them, a
negation put in or taken out (FactCC: Kryściński et al. 2020). What is put in comes from the sources where it can, so that no claim
looks wrong by itself; now and then the altered claim is still true, which training stands.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][\w’'-]+(?: [A-Z][\w’'-]+)*")
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
_OTHER = {word: other for pair in _OPPOSITES.split() for word, other in (pair.split("/"), pair.split("/")[::-1])}


def altered(claim: str, sources: Sequence[str]) -> str | None:
    """A claim like this one that its sources don't support; None where nothing can be altered. The same each time."""
    chance = random.Random(hashlib.sha256(claim.encode("utf-8", "surrogatepass")).digest())
    ways = [found for found in _ways(claim, " ".join(sources), chance) if found != claim]
    return chance.choice(ways) if ways else None


def _ways(claim: str, text: str, chance: random.Random) -> Iterator[str]:
    """One alteration of each sort that the claim has room for; opposites twice, since they are what overlap can't see."""
    for pattern in (_NUMBER, _NAME, _CONTENT):
        here = list(pattern.finditer(claim))
        elsewhere = sorted({found for found in pattern.findall(text) if found.lower() not in claim.lower()})
        if here and elsewhere:
            place = chance.choice(here)
            alike = [word for word in elsewhere if pattern is not _CONTENT or word[-2:] == place[0][-2:]]
            yield _with(claim, place, chance.choice(alike or elsewhere))
    if opposite := [place for place in re.finditer(r"[A-Za-z]+", claim) if place[0].lower() in _OTHER]:
        place = chance.choice(opposite)
        yield from [_with(claim, place, _OTHER[place[0].lower()])] * 2
    if " not " in claim:
        yield claim.replace(" not ", " ", 1)
    elif auxiliary := list(_AUXILIARY.finditer(claim)):
        place = chance.choice(auxiliary)
        yield _with(claim, place, f"{place[0]} not")


def _with(claim: str, place: re.Match[str], other: str) -> str:
    return claim[: place.start()] + other + claim[place.end() :]
