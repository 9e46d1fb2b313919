"""Answers to prompts, in few words; rows of the shared data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from preceptor.evaluation.answers import Answers, Asked


def make_answers(
    texts: Sequence[str],
    references: Sequence[str | None] | None = None,
    *,
    prompts: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    metadata: Sequence[dict[str, Any]] | None = None,
) -> Answers:
    asked = [
        Asked(
            str(row),
            groups[row] if groups else str(row),
            ({"role": "user", "content": prompts[row] if prompts else f"question {row}"},),
            (),
            references[row] if references else None,
            metadata[row] if metadata else {},
        )
        for row in range(len(texts))
    ]
    return Answers("model", asked, list(texts), {}, "digest")


@pytest.fixture(scope="session")
def answers() -> Callable[..., Answers]:
    return make_answers


@pytest.fixture(scope="session")
def shared_rows(shared_data: Path) -> Callable[[str], list[dict[str, Any]]]:
    """The rows of a shared set's items, such as `tasks/pubmedqa`."""

    def rows(name: str) -> list[dict[str, Any]]:
        with (shared_data / name / "items.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    return rows
