"""What the judgments of a row come to, where a training file takes one answer: the known one, else that of most people.

A tie is no answer. Who wants a consensus that weighs people takes a snapshot, whose rows have an `answer`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.errors import UserError

PREFERRED = "preferred"
THUMBS = "thumbs"
_DESIRABLE = {"up": True, "good": True, "down": False, "bad": False}
_SNAPSHOT = "take a snapshot, and export that: its consensus decides"


def submitted(row: Mapping[str, Any], *kinds: str) -> list[Mapping[str, Any]]:
    """The judgments that count, of these kinds (all without any)."""
    judgments = row.get("judgments")
    found = [each for each in judgments if isinstance(each, Mapping)] if isinstance(judgments, list) else []
    return [each for each in found if each.get("status", "submitted") == "submitted" and (not kinds or each.get("kind") in kinds)]


def decided(judgments: Sequence[Mapping[str, Any]], of: str = "") -> Any:
    """The answer, or its part `of`, that is known, or that most give; UserError where as many say otherwise, or questions differ."""
    asked = sorted({str(each.get("question")) for each in judgments})
    if len(asked) > 1:
        raise UserError(f"the row has judgments of several questions: {', '.join(asked)}", "export the snapshot of one question")
    known = [each for each in judgments if each.get("gold")]
    answers = [each.get("answer") for each in known or judgments]
    votes = Counter(json.dumps(answer[of] if of and isinstance(answer, Mapping) and of in answer else answer) for answer in answers)
    (first, most), *rest = votes.most_common(2)
    if rest and rest[0][1] == most:
        raise UserError(f"as many people say {first:.60} as {rest[0][0]:.60}", _SNAPSHOT)
    return json.loads(first)


def winner(row: Mapping[str, Any]) -> int:
    """Which response is best. A tie is refused: no file of pairs can hold one."""
    responses = responses_of(row)
    found = row["answer"] if "answer" in row else _best(row)
    if found == "tie":
        raise UserError("a tie between responses, which a training file has no place for", f"leave the row out; {_ASK_EACH}")
    if isinstance(found, str) and found.isdecimal() and found.isascii() and len(found) < 4:
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < len(responses):
        raise UserError(f"{found!r:.60} is none of the {len(responses)} responses", "a winner is the index of a response, from 0")
    return found


def responses_of(row: Mapping[str, Any]) -> list[str]:
    """The responses of a row, two at least."""
    responses = row.get("responses")
    if not isinstance(responses, list) or len(responses) < 2 or not all(isinstance(each, str) for each in responses):
        raise UserError("the row has no responses to choose from", "a preference has a prompt, two responses, and who won")
    return responses


def pairs(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(better, worse) texts: the best response against each other one, or a correction against what it corrects."""
    if "responses" not in row and (corrected := _correction(row)):
        return [corrected]
    best, responses = winner(row), responses_of(row)
    return [(responses[best], other) for place, other in enumerate(responses) if place != best]


def thumb(row: Mapping[str, Any]) -> bool | None:
    """Whether a completion is desirable: up or good, against down or bad; None where nobody said."""
    if "answer" in row:
        return _DESIRABLE.get(row["answer"]) if isinstance(row["answer"], str) else None
    votes = [each for each in submitted(row, "choice") if isinstance(each.get("answer"), str) and each["answer"] in _DESIRABLE]
    return _DESIRABLE[decided(votes)] if votes else None


_ASK_EACH = "ask of each response whether it is up or down, and write kto"


def _best(row: Mapping[str, Any]) -> Any:
    if compared := submitted(row, "compare"):
        return decided(compared, of="winner")
    if ranked := submitted(row, "rank"):
        order = decided(ranked, of="order")
        return order[0] if isinstance(order, list) and order else order
    raise UserError("nobody said which response is better", "ask people, or leave the row out")


def _correction(row: Mapping[str, Any]) -> tuple[str, str] | None:
    if not isinstance(row.get("completion"), str) or not (written := submitted(row, "write")):
        return None
    text = decided(written, of="text")
    return (text, row["completion"]) if isinstance(text, str) and text != row["completion"] else None
