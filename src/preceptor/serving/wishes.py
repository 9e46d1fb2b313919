"""What a call asks of Preceptor beside the model's answer: `preceptor.*` keys of its `metadata`, as OpenAI's client sends them.

preceptor.documents        on: the answer rests on the project's documents, and cites them; off
preceptor.filter.NAME      only documents whose metadata say so
preceptor.min_confidence   0 to 1: below it a person answers
preceptor.wait             seconds for which the call waits for that person; 0, the default: it doesn't
preceptor.feedback         on: the response tells the path of a page on which a person may say what they think of the answer; off

All other keys are tags.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from preceptor.project.config import Serving
from preceptor.serving.faults import Refused

OURS, FILTER = "preceptor.", "preceptor.filter."
KNOWN = ("preceptor.documents", "preceptor.filter.NAME", "preceptor.min_confidence", "preceptor.wait", "preceptor.feedback")
MOST_KEYS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512  # as at OpenAI


@dataclass(frozen=True, slots=True)
class Wishes:
    """documents: whether the answer rests on them, of those that the filters leave. min_confidence: None where the call says nothing.

    wait: seconds for a person. feedback: whether a link to the answer's page is told. tags: the rest of the metadata.
    """

    documents: bool = False
    filters: Mapping[str, str] = field(default_factory=dict)
    min_confidence: float | None = None
    wait: float = 0.0
    feedback: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, metadata: Mapping[str, str] | None, rule: Serving, *, choices: int = 1) -> Wishes:
        """From a call's metadata; Refused with the key's name for one of ours that is unknown, or can't be honoured."""
        given = dict(metadata or {})
        _check_bounds(given)
        ours = {name: value for name, value in given.items() if name.startswith(OURS)}
        filters = {name.removeprefix(FILTER): value for name, value in ours.items() if name.startswith(FILTER)}
        for name in ours:
            if name not in KNOWN and not (name.startswith(FILTER) and name != FILTER):
                raise _wrong(name, "there is no such wish", f"known: {', '.join(KNOWN)}")
        documents = _switch("preceptor.documents", ours.get("preceptor.documents", "off"))
        if filters and not documents:
            raise _wrong(FILTER + next(iter(filters)), "documents aren't asked for", 'set "preceptor.documents" to "on"')
        least = _number("preceptor.min_confidence", ours, 1.0)
        wait = _number("preceptor.wait", ours, rule.wait) or 0.0
        if choices > 1 and (documents or least is not None):
            raise Refused("one answer at a time can rest on documents or be vouched for", "set n to 1", param="n", code="invalid_value")
        feedback = _switch("preceptor.feedback", ours.get("preceptor.feedback", "off"))
        return cls(documents, filters, least, wait, feedback, {name: value for name, value in given.items() if name not in ours})


def _check_bounds(given: Mapping[str, str]) -> None:
    if len(given) > MOST_KEYS:
        raise Refused(f"metadata has {len(given)} keys", f"at most {MOST_KEYS}", param="metadata", code="invalid_value")
    for name, value in given.items():
        if len(name) > LONGEST_KEY or len(value) > LONGEST_VALUE:
            hint = f"at most {LONGEST_KEY} characters, its value {LONGEST_VALUE}"
            raise Refused(f"metadata: the key {name!r:.80} or its value is too long", hint, param="metadata", code="invalid_value")


def _switch(name: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise _wrong(name, f"{value!r:.80} is neither on nor off", "on, or leave it out")
    return value == "on"


def _number(name: str, given: Mapping[str, str], most: float) -> float | None:
    """A number from 0 to `most`; None where it isn't given."""
    if name not in given:
        return None
    try:
        value = float(given[name])
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise _wrong(name, f"{given[name]!r:.80} is no number from 0 to {most:g}", 'write it as text, such as "0.8"')
    return value


def _wrong(name: str, why: str, hint: str) -> Refused:
    return Refused(f"{name:.80}: {why}", hint, param=f"metadata.{name:.80}", code="invalid_value")
