"""A small cross-encoder that reads a claim beside what its sources say about it, and tells how likely they support it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.judges.evidence import passage
from preceptor.evaluation.judges.judge import Case

if TYPE_CHECKING:
    from preceptor.models import Classifier

SUPPORTED, UNSUPPORTED = "supported", "unsupported"
ABOUT = "judge.json"  # beside the weights: what it was trained on
_BETWEEN = "[SEP]"
_READING = "claim-passage-1"  # of `as_read`: a judge is trained and used on texts that are put together alike


def as_read(claim: str, sources: Sequence[str]) -> str:
    """What the model reads: the claim first, which is never cut, then the passage of the sources that has to do with it."""
    parts = (claim, passage(claim, sources))
    return f" {_BETWEEN} ".join(" ".join(part.replace(_BETWEEN, " ").split()) for part in parts).strip()


def is_readable(text: str) -> bool:
    """Whether the sources have anything to do with the claim, so that there is a passage to read."""
    return not text.endswith(_BETWEEN)


def text_key(text: str) -> str:
    """What a judge has read, as it remembers having been trained on it."""
    return hashlib.sha256(text.lower().encode("utf-8", "surrogatepass")).hexdigest()[:16]


class EntailmentJudge:
    """The judge in a folder that `train_judge` made: the probability that the sources support each claim."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.about: dict[str, Any] = json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(f"there is no judge in {self.folder}", "train one: preceptor judge train FILE") from None
        if self.about.get("reading") != _READING:
            raise UserError(f"the judge in {self.folder} reads texts as another release put them together", "train it anew")
        self.name = str(self.about["name"])
        self.digest = str(self.about["digest"])

    def scores(self, cases: Sequence[Case]) -> FloatArray:
        """0 for a claim about which the sources have no word: nothing supports it, and there is nothing to read."""
        texts = [as_read(case.text, case.sources) for case in cases]
        distinct = sorted(filter(is_readable, set(texts)))
        column = self._model.answers.index(SUPPORTED)
        found = dict(zip(distinct, self._model.predict(distinct)[:, column].tolist(), strict=True)) if distinct else {}
        return np.array([found.get(text, 0.0) for text in texts], dtype=np.float64)

    def evidence(self, case: Case) -> str:
        """The passage that the verdict rests on."""
        return passage(case.text, case.sources)

    def has_seen(self, case: Case) -> bool:
        """Whether it was trained on this claim beside this passage: what it says of it then shows nothing of its worth."""
        return text_key(as_read(case.text, case.sources)) in self._seen

    @cached_property
    def _seen(self) -> frozenset[str]:
        return frozenset(self.about["seen"])

    @cached_property
    def _model(self) -> Classifier:
        from preceptor.models import Classifier

        return Classifier(self.folder)


def about(name: str, weights: str, seen: Sequence[str], rows: int) -> dict[str, Any]:
    """The content of judge.json: what freezes the judge, and what it has seen."""
    digest = hashlib.sha256(f"{_READING}/{weights}".encode()).hexdigest()
    return {"name": name, "digest": digest, "reading": _READING, "rows": rows, "seen": sorted(set(map(text_key, seen)))}
