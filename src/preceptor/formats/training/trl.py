"""Read and write the dataset types of TRL, standard (texts) and conversational (messages); https://huggingface.co/docs/trl/dataset_formats.

    language modeling     text, or messages
    prompt-only           prompt
    prompt-completion     prompt, completion
    preference            prompt, chosen, rejected; without prompt, it is what both begin with
    unpaired preference   prompt, completion, label (true or false)
    stepwise supervision  prompt, completions, labels

Read, a prompt of one message of the user is a `prompt`, a longer one `messages`, in which answers before the completion have weight 0.
chosen and rejected are `responses` with a judgment of "preferred"; a label is one of "thumbs", up or down; steps are `claims`, and their
labels a judgment of "steps", each supported or contradicted. Other columns, and what distinguishes the type, are kept under
`metadata["trl"]`.

Written, all records of a file are of one type, that of its first row. Two responses make a preference, a completion that was judged
desirable or not an unpaired preference, steps with marks stepwise supervision, a text without an answer language modeling, and anything
else without an answer prompt-only. The rest is prompt-completion, of which TRL trains on the completion alone: a conversation makes one
record for each answer in it that is trained on. (Only `messages` that came from such a file are written as such: by default TRL trains on
every token of them, the user's too.)

Prompts are messages, as chat models are trained; they are plain texts where they came from such a file, or where the completion begins with
a space. Calls have their arguments as values, as chat templates want them; tools are JSON text, which TRL parses. Canonical: one record a
line; prompts explicit (a text is cut at a word, never inside it as TRL itself does; a text prompt beside conversations is replaced by their
common messages), no weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import make_judgment
from preceptor.formats.json_format import peek_first_record
from preceptor.formats.training.messages import (
    ChatMessage,
    convert_arguments,
    drop_weight,
    get_tools,
    is_plain_message,
    make_message,
    parse_messages,
)
from preceptor.formats.training.records import (
    boolean_field,
    field_error,
    format_notes,
    id_and_group,
    noted_columns,
    read_training_rows,
    text_field,
    text_list_field,
    unknown_fields,
    unless_interchange,
    write_record_lines,
)
from preceptor.formats.training.training_examples import (
    TrainingExample,
    completion_content,
    counted_judgments,
    desirability_judgment,
    has_answer,
    has_response,
    input_messages,
    is_desirable,
    majority_answer,
    make_training_example,
    preference_content,
    preference_pairs,
    prompt_content,
    prompt_text,
    response_example,
)

NAME = "trl"
_STEPS_QUESTION = "steps"
_STANDARD_FORM, _CONVERSATIONAL_FORM = "standard", "conversational"


def _write_trl(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    """Write rows and return how many records they made."""
    return write_record_lines(rows, target, _TrlFile().records)


def _join_messages(turns: Sequence[Mapping[str, Any]]) -> str:
    """Return the content of messages as one text; parts and calls as JSON."""
    said = [turn.get("content") or turn.get("tool_calls") or "" for turn in turns]
    return "\n\n".join(each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in said)


@dataclass
class _TrlFile:
    """The file being written: its type and form, once the first record has set them."""

    type: str = ""
    form: str = ""

    def records(self, row: Mapping[str, Any]) -> Iterator[FileRow]:
        """Yield a row's records, all of the file's type and form."""
        notes = format_notes(row, NAME)
        type, made = self._made(row, notes or {})
        tools = get_tools(row) if notes is None and type != "stepwise supervision" else None
        beside = {**noted_columns(notes), **({"tools": json.dumps(tools, ensure_ascii=False)} if tools else {})}
        for record in made:
            self._check_type_and_form(type, record)
            yield {**record, **beside}

    def _made(self, row: Mapping[str, Any], notes: Mapping[str, Any]) -> tuple[str, Iterable[FileRow]]:
        if steps := [each for each in counted_judgments(row, "claims") if each.get("question") == _STEPS_QUESTION]:
            return "stepwise supervision", [_stepwise_record(row, majority_answer(steps))]
        if "responses" in row:
            return "preference", self._preferences(row, notes)
        if has_response(row) and is_desirable(row) is not None:
            return "unpaired preference", [{**self._pair(response_example(row), notes), "label": is_desirable(row)}]
        if notes.get("type") == "language modeling" and "messages" in row:
            return "language modeling", [{"messages": parse_messages(row, "messages")}]
        if not has_answer(row) or (notes.get("type") == "prompt-only" and not counted_judgments(row)):
            return self._unanswered(row, notes)
        return "prompt-completion", self._completions(row, notes)

    def _unanswered(self, row: Mapping[str, Any], notes: Mapping[str, Any]) -> tuple[str, list[FileRow]]:
        if "text" in row:
            return "language modeling", [{"text": prompt_text(row)}]
        prompt = prompt_text(row)
        return "prompt-only", [{"prompt": prompt if self._is_standard(prompt, "", notes) else _bare_messages(_all_messages(row))}]

    def _completions(self, row: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterator[FileRow]:
        learnt = make_training_example(row)
        if learnt.prompt is not None or notes.get("answer"):
            yield self._pair(learnt, notes)
            return
        for place in learnt.trained_turns:
            yield self._pair(TrainingExample(learnt.turns[: place + 1], (place,)), notes)

    def _pair(self, learnt: TrainingExample, notes: Mapping[str, Any]) -> FileRow:
        """Return the prompt and the completion of an example."""
        count = notes.get("answer") if isinstance(notes.get("answer"), int) else 1
        prompt, answer = learnt.turns[:-count], learnt.turns[-count:]  # type: ignore[operator]
        if not prompt:
            raise UserError("the conversation begins with the answer", "put what is asked before it")
        if not _join_messages(answer).strip():
            raise UserError("the answer is empty", "leave the row out")
        text = answer[0].get("content")
        if isinstance(text, str) and self._is_standard(learnt.prompt, text, notes):
            return {"prompt": learnt.prompt, "completion": text}
        return {"prompt": _bare_messages(prompt), "completion": _bare_messages(answer)}

    def _preferences(self, row: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterator[FileRow]:
        asked, prompt = input_messages(row), prompt_text(row)
        for better, worse in preference_pairs(row):
            if self._is_standard(prompt, better, notes):
                yield {"prompt": prompt, "chosen": better, "rejected": worse}
            else:
                yield {
                    "prompt": _bare_messages(asked),
                    "chosen": _output_messages(better, notes),
                    "rejected": _output_messages(worse, notes),
                }

    def _is_standard(self, prompt: str | None, answer: str, notes: Mapping[str, Any]) -> bool:
        """Return whether a record is plain texts; once the file's form is set, a row that could be either follows it."""
        if prompt is None:
            return False
        if notes.get("form") in (_STANDARD_FORM, _CONVERSATIONAL_FORM):
            return bool(notes["form"] == _STANDARD_FORM)
        return self.form == _STANDARD_FORM if self.form else answer[:1].isspace()

    def _check_type_and_form(self, type: str, record: FileRow) -> None:
        values = [record[field] for field in ("text", "messages", "prompt") if field in record]
        form = _STANDARD_FORM if isinstance(values[0], str) else _CONVERSATIONAL_FORM
        self.type, self.form = self.type or type, self.form or form
        if (type, form) != (self.type, self.form):
            message = f"this row makes a record of the type {type} ({form}), and the file began as {self.type} ({self.form})"
            raise UserError(message, "TRL takes one type a file: export these rows to another")


def _stepwise_record(row: Mapping[str, Any], marks: Any) -> FileRow:
    steps = row.get("claims")
    if not isinstance(steps, list) or not isinstance(marks, list) or len(marks) != len(steps):
        raise UserError("the steps and their marks aren't as many", "mark each step")
    by_step = {mark.get("claim"): mark.get("verdict") for mark in marks if isinstance(mark, Mapping)}
    labels = [by_step.get(number) for number in range(len(steps))]
    if unclear := [number for number, label in enumerate(labels, start=1) if label not in ("supported", "contradicted")]:
        raise UserError(f"step {unclear[0]} is neither right nor wrong ({labels[unclear[0] - 1]})", "TRL takes true or false: leave it out")
    return {"prompt": prompt_text(row), "completions": steps, "labels": [label == "supported" for label in labels]}


def _output_messages(text: str, notes: Mapping[str, Any]) -> list[ChatMessage]:
    """Return a response as messages, as it was where it came from such a file."""
    for output in notes.get("outputs") or []:
        if _join_messages(output) == text:
            return [*output]
    if not text.strip():
        raise UserError("a response is empty", "leave the row out")
    return [make_message("assistant", text)]


def _all_messages(row: Mapping[str, Any]) -> list[ChatMessage]:
    return parse_messages(row, "messages") if "messages" in row else input_messages(row)


def _bare_messages(turns: Sequence[ChatMessage]) -> list[ChatMessage]:
    return [convert_arguments(drop_weight(turn), as_text=False) for turn in turns]


_ASSISTANT_MARK = "\n\nAssistant:"  # ends the prompt in data sets of dialogues as plain texts


@unless_interchange
def _sniff(opening: bytes) -> bool:
    """Return whether the first record has fields that nothing but TRL has; a table of texts and completions remains a table."""
    seen = peek_first_record(opening)
    if seen.has("instruction") or seen.has("conversations"):
        return False
    if seen.has("chosen", "rejected") or seen.has("prompt", "completions", "labels"):
        return True
    if not seen.is_complete or not seen.has("prompt"):
        return False
    prompt = seen.fields["prompt"]
    if isinstance(prompt, list):
        return bool(prompt) and all(isinstance(turn, dict) and "role" in turn for turn in prompt)
    return seen.has("completion") and isinstance(seen.fields.get("label"), bool)


def _read(source: FormatSource) -> Iterator[FileRow]:
    return read_training_rows(source, _to_row)


def _to_row(record: FileRow) -> FileRow:
    fields = record.keys()
    if fields >= {"completions", "labels"}:
        return _row_with_notes(record, _read_steps(record), {}, "prompt", "completions", "labels")
    if fields >= {"chosen", "rejected"}:
        return _row_with_notes(record, *_read_preference(record), "prompt", "chosen", "rejected")
    if fields >= {"prompt", "completion", "label"}:
        content, notes = _read_completion(record)
        return _row_with_notes(
            record, {**content, **desirability_judgment(boolean_field(record, "label"))}, notes, "prompt", "completion", "label"
        )
    if fields >= {"prompt", "completion"}:
        return _row_with_notes(record, *_read_completion(record), "prompt", "completion")
    if "prompt" in fields:
        return _row_with_notes(record, *_read_prompt(record), "prompt")
    if "messages" in fields:
        return _row_with_notes(record, {"messages": parse_messages(record, "messages")}, {"type": "language modeling"}, "messages")
    if "text" in fields:
        return _row_with_notes(record, {"text": text_field(record, "text")}, {}, "text")
    raise UserError("no type of TRL has these fields", f"a record has text, messages or prompt, not only {', '.join(fields) or 'nothing'}")


def _row_with_notes(record: FileRow, made: FileRow, notes: dict[str, Any], *known: str) -> FileRow:
    form = {"form": "conversational"} if isinstance(record.get("chosen", record.get("prompt")), list) and "prompt" in made else {}
    kept = {**form, **notes, **unknown_fields(record, frozenset(known))}
    return {**id_and_group(record), **made, **({"metadata": {NAME: kept}} if kept else {})}


def _read_prompt(record: FileRow) -> tuple[FileRow, dict[str, Any]]:
    if isinstance(record["prompt"], str):
        return {"prompt": record["prompt"]}, {"form": "standard"}
    made = prompt_content(parse_messages(record, "prompt"))
    return made, ({} if "prompt" in made else {"type": "prompt-only"})


def _read_completion(record: FileRow) -> tuple[FileRow, dict[str, Any]]:
    if _are_texts(record, "prompt", "completion"):
        return {"prompt": record["prompt"], "completion": record["completion"]}, {"form": "standard"}
    asked, answer = parse_messages(record, "prompt"), parse_messages(record, "completion")
    if answer[-1]["role"] != "assistant":
        raise UserError("the completion doesn't end with a turn of the assistant", "it is what the model learns to say")
    if "prompt" in (made := completion_content([*asked, *answer])):
        return made, {}
    spared = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in asked]
    return {"messages": [*spared, *answer]}, ({} if len(answer) == 1 else {"answer": len(answer)})


def _read_preference(record: FileRow) -> tuple[FileRow, dict[str, Any]]:
    if _are_texts(record, "chosen", "rejected"):
        prompt, better, worse = _explicit_prompt(record)
        return {"prompt": prompt, **preference_content(better, worse)}, {"form": "standard"}
    chosen, rejected = parse_messages(record, "chosen"), parse_messages(record, "rejected")
    if isinstance(record.get("prompt"), list):
        asked = parse_messages(record, "prompt")
    else:
        asked = _shared_messages(chosen, rejected)
        chosen, rejected = chosen[len(asked) :], rejected[len(asked) :]
    made = {**prompt_content(asked), **preference_content(_join_messages(chosen), _join_messages(rejected))}
    plain = all(len(turns) == 1 and is_plain_message(turns[0], "assistant") for turns in (chosen, rejected))
    return made, ({} if plain else {"outputs": [chosen, rejected]})


def _explicit_prompt(record: FileRow) -> tuple[str, str, str]:
    """Return the prompt and both responses; a prompt that isn't given is what both begin with, up to a whole word."""
    chosen, rejected = record["chosen"], record["rejected"]
    if record.get("prompt") is not None:
        return text_field(record, "prompt"), chosen, rejected
    end = next((at for at, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected)))
    shared = chosen[:end]
    if (over := shared.rfind(_ASSISTANT_MARK)) >= 0:
        end = over + len(_ASSISTANT_MARK)
    else:
        end = max(shared.rfind(space) for space in " \n\t")
    if end <= 0 or not chosen[end:].strip() or not rejected[end:].strip():
        raise UserError("chosen and rejected begin with no prompt that could be told from the answers", "give the prompt a column")
    return chosen[:end], chosen[end:], rejected[end:]


def _shared_messages(chosen: list[ChatMessage], rejected: list[ChatMessage]) -> list[ChatMessage]:
    most = min(len(chosen), len(rejected)) - 1  # of conversations that are the same, the last turns are the answers
    count = next((at for at in range(most) if chosen[at] != rejected[at]), most)
    if not count:
        raise UserError("chosen and rejected have no turn in common that would be the prompt", "give the prompt a column")
    return chosen[:count]


def _read_steps(record: FileRow) -> FileRow:
    steps, labels = text_list_field(record, "completions"), record["labels"]
    if not isinstance(labels, list) or len(labels) != len(steps):
        raise field_error("labels", f"a list of {len(steps)}, one for each step", labels)
    for number, label in enumerate(labels):
        if not isinstance(label, bool):
            raise field_error(f"labels[{number}]", "true or false", label)
    marks = [{"claim": number, "verdict": "supported" if label else "contradicted", "source": None} for number, label in enumerate(labels)]
    said = [make_judgment(_STEPS_QUESTION, "claims", marks)]
    return {"prompt": text_field(record, "prompt"), "completion": "\n".join(steps), "claims": steps, "judgments": said}


def _are_texts(record: FileRow, one: str, other: str) -> bool:
    """Return whether both are texts; raises UserError where one is and the other isn't."""
    found = [isinstance(record[field], str) for field in (one, other)]
    if any(found) and not all(found):
        raise UserError(f"of {one} and {other}, one is a text and the other isn't", "both are texts, or both are lists of turns")
    return all(found)


formats.register(NAME)(FileFormat(NAME, (), _sniff, _read, _write_trl, by_shape=True))
