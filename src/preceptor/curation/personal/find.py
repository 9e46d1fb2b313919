"""Personal data in texts: what identifies, reaches or bills somebody, or opens their accounts."""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from preceptor.curation.folding import Seen, plain
from preceptor.curation.personal.finding import Finding
from preceptor.curation.personal.kinds import KINDS, Kind
from preceptor.errors import UserError
from preceptor.registry import did_you_mean

DEFAULT_KINDS: tuple[str, ...] = tuple(KINDS)
PLACEHOLDER = re.compile(r"\[[A-Z_]+-[a-z2-7]{8}\]")
"""What `mask` writes; it is never found again."""
_LINE = re.compile(r"[^\n\r\v\f\x85\u2028\u2029]+")
_AS_IT_IS = re.compile(r"[ -)+-^a-~]*")  # printable ASCII without Markdown's signs: `plain` would change nothing
_UNSPACED = "\u2e80"  # from here on scripts that put no spaces between words
_WORD = re.compile(r"[^\W\d_]+")


Ordered = tuple[int, str, Kind]
Signs = Sequence[tuple[re.Pattern[str], Sequence[Ordered]]]


def find(texts: Iterable[str], kinds: Sequence[str] = DEFAULT_KINDS, allow: Sequence[str] = ()) -> Iterator[Finding]:
    """What each text holds of these kinds, in order of texts and places; findings never overlap, the longer one stays.

    A number is sought within a line, so that the one that a line ends with doesn't run into the next line's.

    allow: what is one's own, such as an e-mail's domain or a hotline; digits and letters count, not how they are set.
    Texts are read one by one, and what was found in one is known before the next is asked for. UserError for an
    unknown kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"no kind of personal data is called {kind!r}{did_you_mean(kind, KINDS)}", f"known: {', '.join(KINDS)}")
    own = [bare(entry) for entry in allow]
    chosen = [(order, kind, KINDS[kind]) for order, kind in enumerate(kinds)]
    whole, by_line = (_by_sign([each for each in chosen if each[2].over_lines == over]) for over in (True, False))
    return (finding for index, text in enumerate(texts) for finding in _find_in(index, text, whole, by_line, own))


def bare(text: str) -> str:
    """The letters, digits and @ of a text, in lower case."""
    return re.sub(r"[^\w@]|_", "", text).lower()


def _by_sign(kinds: Sequence[Ordered]) -> Signs:
    """Kinds that have a sign in common, so that it is looked for once."""
    signs = defaultdict[re.Pattern[str], list[Ordered]](list)
    for each in kinds:
        signs[each[2].sign].append(each)
    return list(signs.items())


def _find_in(index: int, text: str, whole: Signs, by_line: Signs, own: Sequence[str]) -> list[Finding]:
    found = list[tuple[int, int, int, str]]()  # longest first, then by the order of kinds
    for order, kind, start, end in _spans(text, whole, by_line):
        if not any(entry in bare(text[start:end]) for entry in own):
            found.append((start - end, order, start, kind))
    if not found:
        return []
    taken = [match.span() for match in PLACEHOLDER.finditer(text)]
    kept = list[Finding]()
    for length, _, start, kind in sorted(found):
        end = start - length
        place = bisect.bisect(taken, (start, end))
        if (place == 0 or taken[place - 1][1] <= start) and (place == len(taken) or taken[place][0] >= end):
            taken.insert(place, (start, end))
            kept.append(Finding(index, start, end, kind, text[start:end]))
    return sorted(kept, key=lambda finding: finding.start)


def _spans(text: str, whole: Signs, by_line: Signs) -> Iterator[tuple[int, str, int, int]]:
    """(order of the kind, kind, start, end) of all that may be personal: over the whole text, or line by line."""
    for order, kind, known in _likely(text, whole):
        yield from ((order, kind, start, end) for start, end in known.finder(text))
    for line in _LINE.finditer(text):
        if likely := _likely(line[0], by_line):
            seen, offset = _plain(line[0]), line.start()
            for order, kind, known in likely:
                for place in known.finder(seen.text):
                    start, end = seen.span(*place)
                    yield order, kind, offset + start, offset + end


def _likely(text: str, signs: Signs) -> list[Ordered]:
    """The kinds that a text may hold, by their signs and words."""
    found = [each for sign, kinds in signs if sign.search(text) for each in kinds]
    if not any(known.among for _, _, known in found):
        return found
    words = set(_WORD.findall(text.lower()))
    spaced = max(text) < _UNSPACED
    return [each for each in found if not (each[2].among and spaced and each[2].among.isdisjoint(words))]


def _plain(line: str) -> Seen:
    if _AS_IT_IS.fullmatch(line) and "  " not in line:
        return Seen(line, range(len(line)), range(1, len(line) + 1))
    return plain(line)
