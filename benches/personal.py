"""Personal data planted in real texts and found again, by kind; what is found in real texts with nothing planted; texts a second.

The promise: 98 % of the canaries are found. Each is invented by code that shares nothing with what looks for it, in several forms and
languages, and stands in a real question, tweet or abstract. One whose last digit is spoiled must not be taken for its kind. Presidio's
pattern recognisers, at a score of 0.4 and without the model of words that it can use beside them, come from the environment or from the
folder that PRESIDIO_SITE names (`pip install --target DIR presidio-analyzer`).

Run: python -m benches.personal [CANARIES OF A SORT]
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from benches._planting import SORTS, Planted, plant
from benches._real_texts import FIELDS, rows

from preceptor.quality.pii import find_pii, mask_pii, new_mask_key
from preceptor.statistics import estimate_proportion

CARRIERS = ("tasks/banking77", "tasks/fin_tweets", "tasks/pubmedqa", "general/replay_general")
SURE = 0.4  # of presidio's scores


class Found(NamedTuple):
    kind: str
    start: int
    end: int


Finder = Callable[[Sequence[str]], list[list[Found]]]


def ours(texts: Sequence[str]) -> list[list[Found]]:
    found: list[list[Found]] = [[] for _ in texts]
    for each in find_pii(texts):
        found[each.index].append(Found(each.kind, each.start, each.end))
    return found


def presidio() -> Finder | None:
    """All pattern recognisers that its package has; None where it isn't at hand."""
    if site := os.environ.get("PRESIDIO_SITE"):
        sys.path.append(site)
    try:
        from presidio_analyzer import PatternRecognizer, predefined_recognizers
    except ImportError:
        return None
    logging.disable()  # it looks for a list of domains on the net, and does without
    classes = [getattr(predefined_recognizers, name) for name in dir(predefined_recognizers) if name.endswith("Recognizer")]
    chosen = [each() for each in classes if issubclass(each, PatternRecognizer) or each.__name__ == "PhoneRecognizer"]

    def all_of(text: str) -> list[Found]:
        hits = (hit for each in chosen for hit in each.analyze(text, each.supported_entities, None) or ())
        return [Found(hit.entity_type, hit.start, hit.end) for hit in hits if hit.score >= SURE]

    return lambda texts: [all_of(text) for text in texts]


def estimate(hits: int, count: int) -> dict[str, Any]:
    return {key: value for key, value in asdict(estimate_proportion(hits, count)).items() if key in ("value", "low", "high")}


def covered(planted: Sequence[Planted], found: Sequence[Sequence[Found]]) -> list[bool]:
    """Whether one find holds the whole value."""
    return [any(hit.start <= each.start and hit.end >= each.end for hit in hits) for each, hits in zip(planted, found, strict=True)]


def by_kind(planted: Sequence[Planted], hits: dict[str, list[bool]]) -> Iterator[dict[str, Any]]:
    for kind in dict.fromkeys(sort.kind for sort in SORTS):
        places = [row for row, each in enumerate(planted) if each.canary.kind == kind]
        forms = len({planted[row].canary.form for row in places})
        shares = {library: round(100 * sum(found[row] for row in places) / len(places), 1) for library, found in hits.items()}
        yield {"kind": kind, "forms": forms, "planted": len(places), **{f"{library} found %": share for library, share in shares.items()}}


def alarms(finder: Finder) -> list[dict[str, Any]]:
    """What is found in the real texts, of each kind in a thousand rows, set by set."""
    table = []
    for name in FIELDS:
        texts = rows(name)
        tally = Counter(hit.kind for hits in finder(texts) for hit in hits)
        table.append(
            {
                "set": name,
                "rows": len(texts),
                "found": sum(tally.values()),
                "of which, in 1,000 rows": ", ".join(f"{kind} {1000 * n / len(texts):.1f}" for kind, n in tally.most_common()) or "none",
            }
        )
    return table


def main(each: int) -> None:
    carriers = [text for name in CARRIERS for text in rows(name)]
    planted, wrong = list(plant(carriers, each)), list(plant(carriers, each, wrong=True, seed=1))
    summary, hits, tables = [], defaultdict[str, list[bool]](list), {}
    for library, finder in (("preceptor", ours), ("presidio", presidio())):
        if finder is None:
            summary.append({"library": library, "left_out": "not at hand"})
            continue
        started = time.perf_counter()
        found = finder([one.text for one in planted])
        seconds = time.perf_counter() - started
        hits[library] = covered(planted, found)
        row = {
            "library": library,
            "canaries": len(planted),
            "sorts": len(SORTS),
            "kinds": len({sort.kind for sort in SORTS}),
            "found": estimate(sum(hits[library]), len(planted)),
            "texts a second": round(len(planted) / seconds),
        }
        if library == "preceptor":
            taken = [
                any(hit.kind == one.canary.kind and hit.start < one.end and hit.end > one.start for hit in spans)
                for one, spans in zip(wrong, finder([one.text for one in wrong]), strict=True)
            ]
            tables["spoiled digits"] = [{"canaries": len(wrong), "taken for their kind": estimate(sum(taken), len(wrong))}]
            tables["masked"] = [masked(planted)]
        summary.append(row)
        tables[f"in real texts, {library}"] = alarms(finder)
    print(json.dumps({"rows": summary, "by kind": list(by_kind(planted, hits)), **tables}, indent=2))


def masked(planted: Sequence[Planted]) -> dict[str, Any]:
    """Canaries that can still be read after masking, and those whose placeholder is the same in another text."""
    key, texts = new_mask_key(), [each.text for each in planted]
    found = defaultdict(list)
    for each in find_pii(texts):
        found[each.index].append(each)
    after = [mask_pii(text, found[index], key) for index, text in enumerate(texts)]
    return {
        "texts": len(texts),
        "canaries left": sum(each.canary.value in text for each, text in zip(planted, after, strict=True)),
        "found again in masked texts": sum(1 for _ in find_pii(after)),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
