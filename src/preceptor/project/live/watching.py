"""Whether what is asked, how sure the model is, and how good its answers are have changed: looked at as often as one likes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.curation.drift import drift
from preceptor.domain import Estimate
from preceptor.domain.items import text_of
from preceptor.errors import NotFound, UserError
from preceptor.evaluation.wording import count
from preceptor.project.live.confidence import calibration_of
from preceptor.project.live.kept import Kept
from preceptor.project.live.stream import Verdict
from preceptor.snapshots.completions import asked
from preceptor.statistics import mean, watch

if TYPE_CHECKING:
    from preceptor.project.project import Project

FEWEST = 20  # values to compare with
FIRST = 50  # verdicts that later ones are compared with
STRETCHES, LEAST = 10, 10  # parts of a stream that are drawn, and values in each
DRAWN = ("live quality", "confidence")
CALLED = 20.0  # evidence from which a change is called: 1 in 20 streams that never change gets so far
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Watch:
    """One thing that is watched. evidence: for a change, at its highest; None where there is too little to compare (words say so).

    stretches: the mean of each part of the stream, in order, for looking at; which of them differ is no test.
    """

    what: str
    values: int
    evidence: float | None
    drifted: bool
    stretches: tuple[Estimate, ...]
    words: str
    distance: Estimate | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether there is a picture in it: quality and confidence always, prompts where they are compared with something."""
        return self.evidence is not None or self.what in DRAWN

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        told = {"what": self.what, "values": self.values, "evidence": self.evidence, "called_at": CALLED, "drifted": self.drifted}
        distance = {"distance": self.distance.to_dict()} if self.distance else {}
        return {**told, "stretches": [each.to_dict() for each in self.stretches], "words": self.words, **distance}


def watches(project: Project, model: str, kept: Sequence[Kept], judged: Sequence[Verdict]) -> list[Watch]:
    """All that is watched of one model: its kept answers and the verdicts on those drawn, each in order of time."""
    good = [each.good for each in judged if each.inclusion > 0]
    sure = [each.confidence for each in kept if each.confidence is not None]
    return [
        _watch("live quality", good[:FIRST], good[FIRST:], "verdicts", f"the first {FIRST}"),
        _watch("confidence", _calibrated(project, model), sure, "answers", "the answers that calibrated it"),
        *_inputs(project, model, [_text(each.document["messages"]) for each in kept]),
    ]


def _inputs(project: Project, model: str, texts: Sequence[str]) -> list[Watch]:
    """Words that no training row holds, and lengths, against rows of the same kind that weren't trained on."""
    try:
        snapshot = project.load_snapshot(project.model(model).manifest["snapshot"])
    except UserError:  # a base: it was trained on no rows of ours
        train, held = list[str](), list[str]()
    else:
        train, held = ([text_of(asked(row.content)) for row in snapshot.rows(side)] for side in ("train", "validation"))
    known = {word for text in train for word in _words(text)}
    unknown = [[_unknown(text, known) for text in side] for side in (held, texts)]
    lengths = [[math.log1p(len(text)) for text in side] for side in (held, texts)]
    rows = "rows beside those that it was trained on"
    found = _watch("lengths of prompts", lengths[0], lengths[1], "prompts", rows, scale=12.0)
    return [_watch("unknown words in prompts", unknown[0], unknown[1], "prompts", rows), _with_distance(found, held, texts)]


def _with_distance(found: Watch, held: Sequence[str], texts: Sequence[str]) -> Watch:
    """With how far the lengths lie apart: the greatest difference of cumulative shares."""
    if found.evidence is None or len(texts) < FEWEST:
        return found
    lengths = [float(len(text)) for text in [*held, *texts]]
    names = ["held out"] * len(held) + ["served"] * len(texts)
    apart = drift(names, lengths=lengths, permutations=99).batches[-1].distance
    return Watch(**{**found.__dict__, "distance": apart})


def _watch(what: str, reference: Sequence[float], stream: Sequence[float], unit: str, against: str, *, scale: float = 1.0) -> Watch:
    """scale: the largest value, so that stretches are drawn from 0 to 1."""
    parts = _stretches(np.asarray(stream, dtype=np.float64) / scale)
    if len(reference) < FEWEST or not stream:
        some = f"{count(len(stream))} {unit}" if stream else f"no {unit} yet"
        return Watch(what, len(stream), None, False, parts, f"{what}: {some}, and too little to compare with")
    found = watch(reference, stream)
    evidence = float(found.evidence.max())
    called = f"has changed, seen after {count(found.since or 0)} {unit}" if found.drifted else "no change is seen"
    words = f"{what}: {called}, of {count(len(stream))} {unit} held against {against}"
    return Watch(what, len(stream), min(evidence, 1e12), found.drifted, parts, words)


def _stretches(values: Any) -> tuple[Estimate, ...]:
    parts = min(STRETCHES, len(values) // LEAST)
    return tuple(mean(part) for part in np.array_split(values, parts)) if parts else ()


def _calibrated(project: Project, model: str) -> list[float]:
    try:
        found: list[float] = calibration_of(project, model)["ranked"].confidence.tolist()
    except NotFound:
        return []
    return found


def _text(messages: Sequence[dict[str, str]]) -> str:
    one = len(messages) == 1 and messages[0]["role"] == "user"
    return text_of({"prompt": messages[0]["content"]} if one else {"messages": messages})


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _unknown(text: str, known: set[str]) -> float:
    words = _words(text)
    return sum(word not in known for word in words) / max(len(words), 1)
