"""Comparisons and corrections of two made answers: people like colours better than numbers, whatever is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tiny_models import Answered, Answers

LIKED, OTHER = ("red", "green", "blue"), ("one", "two", "three")


def compared(count: int, seed: int, *, probability: float | None = None, tie: float = 0.0) -> list[Answered]:
    """Rows whose better answer is a colour; where it stands is drawn, and so is how sure people are."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        best = int(random.integers(2))
        sure = probability or float(random.uniform(0.7, 1.0))
        better, worse = (f"It is {', '.join(random.choice(words, random.integers(1, 3)))}." for words in (LIKED, OTHER))
        responses = [better, worse] if best == 0 else [worse, better]
        target = {str(best): sure * (1 - tie), str(1 - best): (1 - sure) * (1 - tie), **({"tie": tie} if tie else {})}
        asked = f"What comes after {random.choice([*LIKED, *OTHER])}{', ' * int(random.integers(0, 4))}?"
        rows.append(Answered(f"{seed}-{number}", {"prompt": asked, "responses": responses}, target, 1.0, f"g{seed}-{number // 2}"))
    return rows


def corrected(count: int, seed: int) -> list[Answered]:
    """The same as drafts that somebody corrected."""
    rows = compared(count, seed)
    return [
        replace(
            row,
            content={"prompt": row.content["prompt"], "draft": row.content["responses"][1 - best]},
            target={row.content["responses"][best]: 1.0},
        )
        for row in rows
        for best in [int(max(("0", "1"), key=lambda place: row.target[place]))]
    ]


def comparisons(count: int = 48) -> Answers:
    return Answers(compared(count, 1), compared(16, 2), answers=("0", "1", "tie"), target_kind="nominal", test=compared(16, 3))
