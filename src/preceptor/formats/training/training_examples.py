"""Turn a row into what it teaches: its training example, its preference pairs, or whether its answer is desirable.

Rows are those of the interchange form, and those of a snapshot, which have an `answer`. Where a training file takes one answer, it is the
known one (gold), else that of the majority of the judgments; a tie is no answer. For a consensus that weighs annotators, take a snapshot.

An example is a conversation: a text or a prompt is the user's message, and the answer is the assistant's. An answer that isn't a text (a
number, several labels) is written as JSON. The answers in a conversation are trained on unless their `weight` is 0; in a snapshot the last
is, and earlier ones whose `weight` is 1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.interchange import make_judgment
from preceptor.formats.training.messages import ChatMessage, is_plain_message, make_message, parse_messages
from preceptor.types import render_content

_PREFERRED_QUESTION = "preferred"
_THUMBS_QUESTION = "thumbs"
_DESIRABLE_ANSWERS = {"up": True, "good": True, "down": False, "bad": False}
_SNAPSHOT_HINT = "take a snapshot, and export that: its consensus decides"


def counted_judgments(row: Mapping[str, Any], *kinds: str) -> list[Mapping[str, Any]]:
    """Return the judgments that count, of these kinds (of all kinds if none is given)."""
    judgments = row.get("judgments")
    found = [each for each in judgments if isinstance(each, Mapping)] if isinstance(judgments, list) else []
    return [each for each in found if each.get("status", "submitted") == "submitted" and (not kinds or each.get("kind") in kinds)]


def majority_answer(judgments: Sequence[Mapping[str, Any]], of: str = "") -> Any:
    """Return the answer, or its part `of`, that is known (gold), or that most annotators give.

    Raises UserError for a tie, and where the judgments answer several questions.
    """
    asked = sorted({str(each.get("question")) for each in judgments})
    if len(asked) > 1:
        raise UserError(f"the row has judgments of several questions: {', '.join(asked)}", "export the snapshot of one question")
    known = [each for each in judgments if each.get("gold")]
    answers = [each.get("answer") for each in known or judgments]
    votes = Counter(json.dumps(answer[of] if of and isinstance(answer, Mapping) and of in answer else answer) for answer in answers)
    (first, most), *rest = votes.most_common(2)
    if rest and rest[0][1] == most:
        raise UserError(f"as many people say {first:.60} as {rest[0][0]:.60}", _SNAPSHOT_HINT)
    return json.loads(first)


def _best_response(row: Mapping[str, Any]) -> int:
    """Return the index of the best response; a tie raises UserError, since no file of pairs can hold one."""
    responses = _get_responses(row)
    found = row["answer"] if "answer" in row else _best_by_judgments(row)
    if found == "tie":
        raise UserError("a tie between responses, which a training file has no place for", f"leave the row out; {_ASK_EACH_HINT}")
    if isinstance(found, str) and found.isdecimal() and found.isascii() and len(found) < 4:
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < len(responses):
        raise UserError(f"{found!r:.60} is none of the {len(responses)} responses", "a winner is the index of a response, from 0")
    return found


def _get_responses(row: Mapping[str, Any]) -> list[str]:
    """Return the responses of a row, at least two."""
    responses = row.get("responses")
    if not isinstance(responses, list) or len(responses) < 2 or not all(isinstance(each, str) for each in responses):
        raise UserError("the row has no responses to choose from", "a preference has a prompt, two responses, and who won")
    return responses


def preference_pairs(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (better, worse) texts: the best response against each other one, or a correction against what it corrects."""
    if "responses" not in row and (corrected := _correction_pair(row)):
        return [corrected]
    best, responses = _best_response(row), _get_responses(row)
    return [(responses[best], other) for place, other in enumerate(responses) if place != best]


def is_desirable(row: Mapping[str, Any]) -> bool | None:
    """Return whether a completion is desirable: up or good, against down or bad; None where nobody judged it."""
    if "answer" in row:
        return _DESIRABLE_ANSWERS.get(row["answer"]) if isinstance(row["answer"], str) else None
    votes = [
        each for each in counted_judgments(row, "choice") if isinstance(each.get("answer"), str) and each["answer"] in _DESIRABLE_ANSWERS
    ]
    return _DESIRABLE_ANSWERS[majority_answer(votes)] if votes else None


_ASK_EACH_HINT = "ask of each response whether it is up or down, and write kto"


def _best_by_judgments(row: Mapping[str, Any]) -> Any:
    if compared := counted_judgments(row, "compare"):
        return majority_answer(compared, of="winner")
    if ranked := counted_judgments(row, "rank"):
        order = majority_answer(ranked, of="order")
        return order[0] if isinstance(order, list) and order else order
    raise UserError("nobody said which response is better", "ask people, or leave the row out")


def _correction_pair(row: Mapping[str, Any]) -> tuple[str, str] | None:
    if not isinstance(row.get("completion"), str) or not (written := counted_judgments(row, "write")):
        return None
    text = majority_answer(written, of="text")
    return (text, row["completion"]) if isinstance(text, str) and text != row["completion"] else None


def prompt_content(turns: Sequence[ChatMessage]) -> dict[str, Any]:
    """Return messages as an item's content: a `prompt` where they are one plain message of the user, else `messages`."""
    if len(turns) == 1 and is_plain_message(turns[0], "user"):
        return {"prompt": turns[0]["content"]}
    return {"messages": list(turns)}


def completion_content(turns: Sequence[ChatMessage]) -> dict[str, Any]:
    """Return messages as an item's content: `prompt` and `completion` where each is one plain message, else `messages`."""
    if len(turns) == 2 and is_plain_message(turns[0], "user") and is_plain_message(turns[1], "assistant"):
        return {"prompt": turns[0]["content"], "completion": turns[1]["content"]}
    return {"messages": list(turns)}


def preference_content(better: str, worse: str) -> dict[str, Any]:
    """Return two responses, and the judgment that the first is better."""
    said = make_judgment(_PREFERRED_QUESTION, "compare", {"winner": 0, "order": None, "reasons": ""})
    return {"responses": [better, worse], "judgments": [said]}


def desirability_judgment(good: bool) -> dict[str, Any]:
    """Return the judgment of a completion: up or down."""
    return {"judgments": [make_judgment(_THUMBS_QUESTION, "choice", "up" if good else "down")]}


@dataclass(frozen=True)
class TrainingExample:
    """A training example.

    turns: the messages of the conversation. trained_turns: the places of those that are trained on. prompt: what was asked where that is
    one text.
    """

    turns: list[ChatMessage]
    trained_turns: tuple[int, ...]
    prompt: str | None = None

    @property
    def prompt_messages(self) -> list[ChatMessage]:
        """The messages before the last."""
        return self.turns[:-1]

    @property
    def last_message(self) -> ChatMessage:
        """The message that the conversation ends with."""
        return self.turns[-1]

    @property
    def has_untrained_answer(self) -> bool:
        """Whether an answer is marked as one that isn't to be trained on (weight 0)."""
        return any(turn.get("weight") == 0 for turn in self.turns)


def make_training_example(row: Mapping[str, Any]) -> TrainingExample:
    """Return the training example of a row; raises UserError where it has no answer, or a bad one."""
    if has_response(row) and (good := is_desirable(row)) is not None:
        if not good:
            raise UserError("its answer was judged to be bad, so it can't be taught", "leave the row out, or write kto")
        row = {name: value for name, value in row.items() if name != "answer"}
    if "answer" in row:
        return _snapshot_example(row)
    told, asked = _given_answer(row), input_messages(row)
    if told is not None:
        return _example_with_answer(asked, told, _prompt_or_text(row), spare=False)
    if "messages" in row and (taught := _trained_places(turns := parse_messages(row, "messages"), spare=False)):
        return TrainingExample(turns, taught)
    raise UserError("the row teaches nothing: it has no answer", "write rows with a completion or a judgment, or export a snapshot")


def input_messages(row: Mapping[str, Any]) -> list[ChatMessage]:
    """Return what is asked: the conversation up to its last answer, or the text as the user's message."""
    if "messages" in row:
        turns = parse_messages(row, "messages")
        end = len(turns) if "responses" in row else _prompt_length(turns)
        return turns[:end]
    return [make_message("user", _prompt_or_text(row) or "")]


def prompt_text(row: Mapping[str, Any]) -> str | None:
    """Return what is asked where that is one text; None for a conversation."""
    return None if "messages" in row else _prompt_or_text(row)


def _answer_text(answer: Any) -> str:
    """Return an answer as the assistant writes it."""
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _snapshot_example(row: Mapping[str, Any]) -> TrainingExample:
    if "responses" in row:
        return _example_with_answer(input_messages(row), _get_responses(row)[_best_response(row)], prompt_text(row), spare=True)
    if "completion" in row:  # the answer is the judgment of both
        both = render_content(row)
        return _example_with_answer([make_message("user", both)], _answer_text(row["answer"]), both, spare=True)
    return _example_with_answer(input_messages(row), _answer_text(row["answer"]), prompt_text(row), spare=True)


def _example_with_answer(asked: list[ChatMessage], answer: str, prompt: str | None, *, spare: bool) -> TrainingExample:
    if not answer.strip():
        raise UserError("the answer is empty, and would teach to say nothing", "leave the row out")
    turns = [*asked, make_message("assistant", answer)]
    return TrainingExample(turns, (*_trained_places(asked, spare=spare), len(asked)), prompt)


def _given_answer(row: Mapping[str, Any]) -> str | None:
    """Return the answer that people wrote or chose, or that the row came with; None where a conversation holds its own."""
    if written := counted_judgments(row, "write"):
        return _answer_text(majority_answer(written, of="text"))
    if "responses" in row:
        return _get_responses(row)[_best_response(row)]
    if "completion" in row:
        return _require_text(row, "completion")
    if "messages" in row and _prompt_length(turns := parse_messages(row, "messages")) < len(turns):
        return None
    judgments = counted_judgments(row)
    return _answer_text(majority_answer(judgments)) if judgments else None


def _trained_places(turns: list[ChatMessage], *, spare: bool) -> tuple[int, ...]:
    """Return the places of the answers to train on. spare: only those that are marked so."""
    answers = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
    return tuple(place for place in answers if (turns[place].get("weight") == 1 if spare else turns[place].get("weight") != 0))


def _prompt_length(turns: list[ChatMessage]) -> int:
    """Return where the answers at the end of a conversation begin."""
    end = len(turns)
    while end and turns[end - 1]["role"] == "assistant":
        end -= 1
    return end


def _prompt_or_text(row: Mapping[str, Any]) -> str | None:
    if "messages" in row:
        return None
    field = "prompt" if "prompt" in row else "text"
    if field not in row:
        raise UserError("the row has no content", "a row has a text, a prompt or messages")
    return _require_text(row, field)


def _require_text(row: Mapping[str, Any], field: str) -> str:
    if not isinstance(row[field], str):
        raise UserError(f"{field} must be a text, not {row[field]!r:.60}")
    return row[field]  # type: ignore[no-any-return]


def has_response(row: Mapping[str, Any]) -> bool:
    """Return whether a row holds an answer that can be judged desirable or not: a completion, or the assistant's message at the end."""
    if "messages" not in row:
        return "completion" in row
    return "responses" not in row and parse_messages(row, "messages")[-1]["role"] == "assistant"


def response_example(row: Mapping[str, Any]) -> TrainingExample:
    """Return what was asked and answered, however the answer was judged; raises UserError where there is no answer."""
    if not has_response(row):
        raise UserError("the row has no answer that could be good or bad", "a row has a prompt and a completion, or a conversation")
    if "messages" not in row:
        asked, prompt = input_messages(row), prompt_text(row)
        return TrainingExample([*asked, make_message("assistant", _require_text(row, "completion"))], (len(asked),), prompt)
    turns = parse_messages(row, "messages")
    return TrainingExample(turns, (len(turns) - 1,))


def has_answer(row: Mapping[str, Any]) -> bool:
    """Return whether a row holds anything to train on."""
    if "answer" in row or "completion" in row or counted_judgments(row):
        return True
    return "messages" in row and bool(_trained_places(parse_messages(row, "messages"), spare=False))
