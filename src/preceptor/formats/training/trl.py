"""The dataset types of TRL, standard (texts) and conversational (turns); https://huggingface.co/docs/trl/dataset_formats.

    language modeling     text, or messages
    prompt-only           prompt
    prompt-completion     prompt, completion
    preference            prompt, chosen, rejected; without prompt, it is what both begin with
    unpaired preference   prompt, completion, label (true or false)
    stepwise supervision  prompt, completions, labels

Read, a prompt of one turn of the user is a `prompt`, a longer one `messages`, in which answers before the completion have weight 0.
chosen and rejected are `responses` with a judgment of "preferred"; a label is one of "thumbs", up or down; steps are `claims`, a
label for each a judgment of "steps", supported or contradicted. Other columns, and what tells the type apart, are kept under
`metadata["trl"]`. How rows are written: see `trl_writing`. Canonical: one record a line; prompts explicit (a text is cut at a word, never
inside it as TRL itself does; a text prompt beside conversations gives way to their common turns), no weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Format, Row, formats
from preceptor.formats.interchange import judgment
from preceptor.formats.json_records import glance
from preceptor.formats.source import Source
from preceptor.formats.training.fields import identity, others, text, texts, true_or_false, wrong
from preceptor.formats.training.ours import read_rows, theirs
from preceptor.formats.training.preferences import answered, content_of, liked, preference
from preceptor.formats.training.trl_writing import NAME, STEPS, as_one_text, write
from preceptor.formats.training.turns import Turn, is_plain, turns_from

_HAND_OVER = "\n\nAssistant:"  # with which the prompt ends in sets of dialogues as texts


@theirs
def _sniff(opening: bytes) -> bool:
    """Fields that nothing but TRL has; a table of texts and completions stays a table."""
    seen = glance(opening)
    if seen.has("instruction") or seen.has("conversations"):
        return False
    if seen.has("chosen", "rejected") or seen.has("prompt", "completions", "labels"):
        return True
    if not seen.whole or not seen.has("prompt"):
        return False
    prompt = seen.fields["prompt"]
    if isinstance(prompt, list):
        return bool(prompt) and all(isinstance(turn, dict) and "role" in turn for turn in prompt)
    return seen.has("completion") and isinstance(seen.fields.get("label"), bool)


def _read(source: Source) -> Iterator[Row]:
    return read_rows(source, _to_row)


def _to_row(record: Row) -> Row:
    fields = record.keys()
    if fields >= {"completions", "labels"}:
        return _row(record, _steps(record), {}, "prompt", "completions", "labels")
    if fields >= {"chosen", "rejected"}:
        return _row(record, *_preference(record), "prompt", "chosen", "rejected")
    if fields >= {"prompt", "completion", "label"}:
        content, notes = _completion(record)
        return _row(record, {**content, **liked(true_or_false(record, "label"))}, notes, "prompt", "completion", "label")
    if fields >= {"prompt", "completion"}:
        return _row(record, *_completion(record), "prompt", "completion")
    if "prompt" in fields:
        return _row(record, *_prompt(record), "prompt")
    if "messages" in fields:
        return _row(record, {"messages": turns_from(record, "messages")}, {"type": "language modeling"}, "messages")
    if "text" in fields:
        return _row(record, {"text": text(record, "text")}, {}, "text")
    raise UserError("no type of TRL has these fields", f"a record has text, messages or prompt, not only {', '.join(fields) or 'nothing'}")


def _row(record: Row, made: Row, notes: dict[str, Any], *known: str) -> Row:
    form = {"form": "conversational"} if isinstance(record.get("chosen", record.get("prompt")), list) and "prompt" in made else {}
    kept = {**form, **notes, **others(record, frozenset(known))}
    return {**identity(record), **made, **({"metadata": {NAME: kept}} if kept else {})}


def _prompt(record: Row) -> tuple[Row, dict[str, Any]]:
    if isinstance(record["prompt"], str):
        return {"prompt": record["prompt"]}, {"form": "standard"}
    made = content_of(turns_from(record, "prompt"))
    return made, ({} if "prompt" in made else {"type": "prompt-only"})


def _completion(record: Row) -> tuple[Row, dict[str, Any]]:
    if _are_texts(record, "prompt", "completion"):
        return {"prompt": record["prompt"], "completion": record["completion"]}, {"form": "standard"}
    asked, answer = turns_from(record, "prompt"), turns_from(record, "completion")
    if answer[-1]["role"] != "assistant":
        raise UserError("the completion doesn't end with a turn of the assistant", "it is what the model learns to say")
    if "prompt" in (made := answered([*asked, *answer])):
        return made, {}
    spared = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in asked]
    return {"messages": [*spared, *answer]}, ({} if len(answer) == 1 else {"answer": len(answer)})


def _preference(record: Row) -> tuple[Row, dict[str, Any]]:
    if _are_texts(record, "chosen", "rejected"):
        prompt, better, worse = _explicit(record)
        return {"prompt": prompt, **preference(better, worse)}, {"form": "standard"}
    chosen, rejected = turns_from(record, "chosen"), turns_from(record, "rejected")
    if isinstance(record.get("prompt"), list):
        asked = turns_from(record, "prompt")
    else:
        asked = _shared_turns(chosen, rejected)
        chosen, rejected = chosen[len(asked) :], rejected[len(asked) :]
    made = {**content_of(asked), **preference(as_one_text(chosen), as_one_text(rejected))}
    plain = all(len(turns) == 1 and is_plain(turns[0], "assistant") for turns in (chosen, rejected))
    return made, ({} if plain else {"outputs": [chosen, rejected]})


def _explicit(record: Row) -> tuple[str, str, str]:
    """Prompt and both responses; a prompt that isn't given is what both begin with, up to a whole word."""
    chosen, rejected = record["chosen"], record["rejected"]
    if record.get("prompt") is not None:
        return text(record, "prompt"), chosen, rejected
    end = next((at for at, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected)))
    shared = chosen[:end]
    if (over := shared.rfind(_HAND_OVER)) >= 0:
        end = over + len(_HAND_OVER)
    else:
        end = max(shared.rfind(space) for space in " \n\t")
    if end <= 0 or not chosen[end:].strip() or not rejected[end:].strip():
        raise UserError("chosen and rejected begin with no prompt that could be told from the answers", "give the prompt a column")
    return chosen[:end], chosen[end:], rejected[end:]


def _shared_turns(chosen: list[Turn], rejected: list[Turn]) -> list[Turn]:
    most = min(len(chosen), len(rejected)) - 1  # of conversations that are the same, the last turns are the answers
    count = next((at for at in range(most) if chosen[at] != rejected[at]), most)
    if not count:
        raise UserError("chosen and rejected have no turn in common that would be the prompt", "give the prompt a column")
    return chosen[:count]


def _steps(record: Row) -> Row:
    steps, labels = texts(record, "completions"), record["labels"]
    if not isinstance(labels, list) or len(labels) != len(steps):
        raise wrong("labels", f"a list of {len(steps)}, one for each step", labels)
    for number, label in enumerate(labels):
        if not isinstance(label, bool):
            raise wrong(f"labels[{number}]", "true or false", label)
    marks = [{"claim": number, "verdict": "supported" if label else "contradicted", "source": None} for number, label in enumerate(labels)]
    said = [judgment(STEPS, "claims", marks)]
    return {"prompt": text(record, "prompt"), "completion": "\n".join(steps), "claims": steps, "judgments": said}


def _are_texts(record: Row, one: str, other: str) -> bool:
    """Whether both are texts; UserError where one is and the other isn't."""
    found = [isinstance(record[field], str) for field in (one, other)]
    if any(found) and not all(found):
        raise UserError(f"of {one} and {other}, one is a text and the other isn't", "both are texts, or both are lists of turns")
    return all(found)


formats.register(NAME)(Format(NAME, (), _sniff, _read, write, by_shape=True))
