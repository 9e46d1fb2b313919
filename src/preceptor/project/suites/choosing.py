"""A suite of questions with options: which option a model finds the most probable."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.suites import Suite
from preceptor.project.general import choices
from preceptor.project.suites.subjects import Subject
from preceptor.statistics import mean


def section(suite: Suite, subject: Subject) -> dict[str, Any]:
    """figures: `accuracy`, and `above_chance`, how far it is above guessing. UserError where a row is no question with options."""
    from preceptor.models.chat import ChatTokenizer
    from preceptor.models.knowledge import right_choices
    from preceptor.models.loading import load_causal

    assert suite.prompts is not None
    asked = list(choices(suite.prompts))
    if not asked:
        raise UserError("there are no questions", "fill the file", where=str(suite.prompts))
    chat, model = ChatTokenizer(subject.folder), load_causal(subject.folder)
    right = right_choices(model, chat.tokenizer, asked, max_tokens=chat.limit)
    del model
    gc.collect()
    chance = np.array([each.chance for each in asked])
    figures = {"accuracy": mean(right), "above_chance": mean(right - chance)}
    wrong = [each for each, yes in zip(asked, right, strict=True) if not yes]
    return {
        "kind": "choices",
        "title": suite.title,
        "words": [f"Of {len(asked):,} questions with options {int(right.sum()):,} are answered right; guessing gets {chance.mean():.0%}."],
        "figures": figures,
        "rows": len(asked),
        "made": {"subject": subject.name},
        "examples": [{"id": each.id, "prompt": each.question, "text": "", "reference": each.options[each.answer]} for each in wrong[:10]],
    }
