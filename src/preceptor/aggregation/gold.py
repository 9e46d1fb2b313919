"""Known answers: how they enter a fit, and how a wrong one surfaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.errors import UserError

Gold = Mapping[Any, Any]

DOUBT = 0.01  # the share of keys that may be wrong
CONTRADICTED = 0.95
TELLING = 5  # missed keys from which on most annotators, rather than the keys, are taken to be wrong


@dataclass(frozen=True, eq=False)
class Clamp:
    """Gold as fixed rows of the posterior: `item` codes, `key` codes, `rows` (1 − DOUBT on the key, the rest spread)."""

    item: NDArray[np.int64]
    key: NDArray[np.int64]
    rows: Floats

    @classmethod
    def of(cls, judgments: Judgments, gold: Gold | None) -> Clamp:
        """Gold of items that nobody judged is left out; UserError for a key outside the answers."""
        place = {answer: code for code, answer in enumerate(judgments.answers)}
        known = [(judgments.item_index[item], item, key) for item, key in (gold or {}).items() if item in judgments.item_index]
        for _, item, key in known:
            if key not in place:
                raise UserError(
                    f"the gold answer {key!r} of item {item!r} is not among the answers",
                    "correct the key, or name all possible answers with `answers` in Judgments.from_columns",
                )
        codes = sorted((code, place[key]) for code, _, key in known)
        item_code, key_code = np.array(codes, dtype=np.int64).reshape(-1, 2).T
        rows = np.full((len(codes), judgments.n_answers), DOUBT / max(judgments.n_answers - 1, 1))
        rows[np.arange(len(codes)), key_code] = 1 - DOUBT if judgments.n_answers > 1 else 1.0
        return cls(item_code, key_code, rows)

    def __len__(self) -> int:
        return len(self.item)

    def fix(self, posterior: Floats) -> Floats:
        """The posterior with gold rows put in place (in place, and returned)."""
        posterior[self.item] = self.rows
        return posterior

    def missed(self, unclamped: Floats) -> float:
        """The share of keys that the judgments alone don't arrive at; unclamped: their posterior, shape (gold items, answers)."""
        return float(np.mean(unclamped.argmax(axis=1) != self.key)) if len(self) else 0.0

    def denied(self, unclamped: Floats) -> bool:
        """Whether the judgments miss most keys, and too many for those to be wrong keys."""
        return self.missed(unclamped) > 0.5 and self.missed(unclamped) * len(self) >= TELLING

    def contradicted(self, judgments: Judgments, unclamped: Floats) -> list[str]:
        """A note that names the gold items whose judgments say otherwise with more than 95 % certainty."""
        against = np.flatnonzero((unclamped.max(axis=1, initial=0.0) > CONTRADICTED) & (unclamped.argmax(axis=1) != self.key))
        if not len(against):
            return []
        items, answers = judgments.items, judgments.answers
        shown = [f"{items[self.item[g]]!r} (key {answers[self.key[g]]!r}, judged {answers[unclamped[g].argmax()]!r})" for g in against[:5]]
        return [f"{len(against)} of {len(self)} gold answers contradict the judgments; check the keys: {', '.join(shown)}"]
