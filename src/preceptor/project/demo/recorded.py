"""Recorded human judgments that can be asked again, as if the people were there.

The sets of Hutto and Gilbert (2014), "VADER: A parsimonious rule-based model for sentiment analysis of social
media text": texts with 14 to 99 anonymous ratings each, from −4 (very negative) to 4 (very positive).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.errors import UserError

RATERS = 20
FILES = {
    "amazon": "amazonReviewSnippets",
    "movies": "movieReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "tweets": "tweets",
}
SCALE = tuple(range(-4, 5))
CUTS, LABELS = (-0.5, 0.5), ("negative", "neutral", "positive")


@dataclass(frozen=True)
class Recorded:
    """Texts and, for each, the answers of RATERS people in a seeded random order.

    rows: dicts for Project.add_items (id, text, group). answers: item id -> int ratings, shape (RATERS,).
    left_out: texts with fewer ratings.
    """

    name: str
    rows: list[dict[str, Any]]
    answers: dict[str, np.ndarray[Any, np.dtype[np.int64]]]
    left_out: int

    def answer(self, item: str, ordinal: int) -> int:
        """What the person who is asked as the `ordinal`-th about an item says (from 0)."""
        return int(self.answers[item][ordinal])

    def matrix(self, items: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Ratings of these items, shape (items, RATERS)."""
        return np.array([self.answers[item] for item in items], dtype=np.float64)

    def truth(self) -> dict[str, str]:
        """The answer of all RATERS people about each item: what only evaluation may see."""
        items = list(self.answers)
        return dict(zip(items, (LABELS[code] for code in class_codes(self.matrix(items).mean(axis=1))), strict=True))


def read_recorded(folder: Path, name: str, *, seed: int = 0) -> Recorded:
    """One of the recorded sets from the folder of its files; of more than RATERS ratings, RATERS are drawn by seed."""
    if name not in FILES:
        raise UserError(f"no recorded data is called {name!r}", f"known: {', '.join(FILES)}")
    texts = dict(_columns(folder / f"{FILES[name]}_GroundTruth.txt", 0, 2))
    ratings = _columns(folder / f"{FILES[name]}_anonDataRatings.txt", 0, 3)
    enough = {item: given for item, cell in ratings if len(given := json.loads(cell)) >= RATERS}
    draw = np.random.default_rng(seed)
    answers = {item: draw.permutation(np.array(given, dtype=np.int64))[:RATERS] for item, given in enough.items()}
    rows = [{"id": item, "text": texts[item], "group": _group(item)} for item in answers]
    return Recorded(name, rows, answers, len(ratings) - len(rows))


def class_codes(means: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Index into LABELS of each mean rating: beyond the cuts, or between them (on a cut is between)."""
    low, high = CUTS
    hair = 1e-9  # means of a few whole numbers; their sum is exact, their division is not
    return (means > low - hair).astype(np.int64) + (means > high + hair)


def _group(item: str) -> str:
    """Ids like 12_3 name document 12; an id without a document is its own group."""
    return item.rpartition("_")[0] or item


def _columns(path: Path, *wanted: int) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    cells = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    first, second = wanted
    return [(row[first].strip(), row[second]) for row in cells]
