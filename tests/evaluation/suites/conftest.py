"""Answers to prompts, in few words; rows of the shared data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt


def make_answers(
    texts: Sequence[str],
    references: Sequence[str | None] | None = None,
    *,
    prompts: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    metadata: Sequence[dict[str, Any]] | None = None,
) -> ModelAnswers:
    asked = [
        SuitePrompt(
            str(row),
            groups[row] if groups else str(row),
            ({"role": "user", "content": prompts[row] if prompts else f"question {row}"},),
            (),
            references[row] if references else None,
            metadata[row] if metadata else {},
        )
        for row in range(len(texts))
    ]
    return ModelAnswers("model", asked, list(texts), {}, "digest")


@pytest.fixture(scope="session")
def answers() -> Callable[..., ModelAnswers]:
    return make_answers
