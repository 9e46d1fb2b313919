"""Where a suite's main figure is worse than elsewhere: by topic, by language, by whatever is known of the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.slices import slices
from preceptor.registry import did_you_mean


def by_slice(answers: Answers, names: Sequence[str], values: FloatArray, *, figure: str, better: str) -> dict[str, Any]:
    """`{"slices": …}` of a section, as `evaluation.slices` makes it; nothing where no property is named.

    names: what is known of prompts, such as topic. values: each answer's, (n,). UserError where no prompt has a property.
    """
    if not names:
        return {}
    known = sorted({key for asked in answers.asked for key in asked.metadata})
    for name in names:
        if name not in known:
            raise UserError(
                f"no prompt has a {name!r} to show figures apart by{did_you_mean(name, known)}", f"known: {', '.join(known) or 'none'}"
            )
    groups = [asked.group for asked in answers.asked]
    columns = {name: [_value(asked.metadata.get(name)) for asked in answers.asked] for name in names}
    return {"slices": slices(values, groups, columns, figure=figure, better=better)}


def _value(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
