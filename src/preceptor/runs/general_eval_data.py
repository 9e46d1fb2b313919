"""Load the general texts and suites that a project names (`[forgetting]` in preceptor.toml), split into two halves.

One half is used during training, the other to confirm in evaluation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.config import CONFIG_FILE
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.types import MultipleChoiceItem, RetentionData, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


_MAX_SUITE_QUESTIONS = 150  # of a suite, in each half
_TEXT_HINT = "a general text has messages, or prompt and completion, or instruction (and input) and output, or question and answer"
_CHOICE_HINT = 'a question of a suite is {"question": …, "options": [texts], "answer": one of them or its position}'
_PAIR_COLUMNS = (("prompt", "completion"), ("instruction", "output"), ("question", "answer"))


@dataclass(frozen=True)
class GeneralDataSplits:
    """validation: what training monitors, and may replay. test: what evaluation confirms with."""

    validation: RetentionData
    test: RetentionData


def load_general_data(project: Project) -> GeneralDataSplits | None:
    """Load the general data in halves; None where the project names none. Raises UserError with the row that can't be read.

    Without texts to measure with, half of those for replay are held back for that.
    """
    named = project.config.forgetting
    if not (named.replay or named.texts or named.suites):
        return None
    replay = {id_: turns for file in named.replay for id_, turns in _read_texts(project.folder / file)}
    texts = {id_: turns for file in named.texts for id_, turns in _read_texts(project.folder / file)}
    if not texts:
        texts = {id_: turns for id_, turns in replay.items() if _is_test_half(f"replay {id_}")}
    replay = {id_: turns for id_, turns in replay.items() if id_ not in texts}  # texts that are measured with aren't trained on
    suites = {Path(file).stem: list(read_multiple_choice(project.folder / file)) for file in named.suites}
    validation, test = (_build_split(side, replay, texts, suites) for side in (False, True))
    if texts and not (validation.texts and test.texts):
        raise UserError(f"{len(texts)} general texts don't make two halves", "name some dozens in [forgetting]", where=CONFIG_FILE)
    digest = json_digest([_as_json(part) for part in (validation, test)])
    return GeneralDataSplits(replace(validation, digest=digest), replace(test, digest=digest))


def _build_split(
    side: bool, replay: Mapping[str, Any], texts: Mapping[str, Any], suites: Mapping[str, Sequence[MultipleChoiceItem]]
) -> RetentionData:
    sides = {name: sorted((each for each in asked if _is_test_half(each.id) == side), key=_hash_order) for name, asked in suites.items()}
    return RetentionData(
        {} if side else replay,
        {id_: turns for id_, turns in texts.items() if _is_test_half(id_) == side},
        {name: asked[:_MAX_SUITE_QUESTIONS] for name, asked in sides.items() if asked},
    )


def _is_test_half(id_: str) -> bool:
    return bool(hashlib.sha256(id_.encode()).digest()[0] % 2)


def _hash_order(question: MultipleChoiceItem) -> bytes:
    return hashlib.sha256(question.id.encode()).digest()


def _read_texts(path: Path) -> Iterator[tuple[str, list[dict[str, str]]]]:
    for where, row in _read_rows(path):
        turns = _parse_messages(row, where)
        yield json_digest(turns)[:16], turns


def _parse_messages(row: Mapping[str, Any], where: str) -> list[dict[str, str]]:
    if isinstance(messages := row.get("messages"), list):
        if not messages or not all(isinstance(turn, Mapping) and turn.get("role") and turn.get("content") for turn in messages):
            raise UserError("messages are turns, each with role and content", _TEXT_HINT, where=where)
        turns = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in messages]
    else:
        pair = next(((asked, said) for asked, said in _PAIR_COLUMNS if row.get(asked) and row.get(said)), None)
        if pair is None:
            raise UserError("the row has no text with its answer", _TEXT_HINT, where=where)
        asked = "\n\n".join(str(part) for part in (row[pair[0]], row.get("input") if pair[0] == "instruction" else "") if part)
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": str(row[pair[1]])}]
    if turns[-1]["role"] != "assistant":
        raise UserError("the conversation doesn't end with an answer", _TEXT_HINT, where=where)
    return turns


def read_multiple_choice(path: Path) -> Iterator[MultipleChoiceItem]:
    """Yield the multiple-choice questions of a file. Raises UserError with the row that is none."""
    for where, row in _read_rows(path):
        options, answer = row.get("options"), row.get("answer_index", row.get("answer"))
        if not row.get("question") or not isinstance(options, list) or len(options) < 2:
            raise UserError("the row is no question with options", _CHOICE_HINT, where=where)
        at = answer if isinstance(answer, int) else options.index(answer) if answer in options else -1
        if not 0 <= at < len(options):
            raise UserError(f"the answer {answer!r} is none of the options", _CHOICE_HINT, where=where)
        yield MultipleChoiceItem(json_digest([row["question"], options])[:16], str(row["question"]), tuple(map(str, options)), at)


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    rows, count = read(path, "plain"), 0
    for row in rows:
        count += 1
        yield rows.where, row
    if not count:
        raise UserError("the file has no rows", "name another in [forgetting]", where=path.name)


def _as_json(part: RetentionData) -> list[Any]:
    suites = {name: [[each.question, each.options, each.answer] for each in asked] for name, asked in part.suites.items()}
    return [dict(part.replay), dict(part.texts), suites]
