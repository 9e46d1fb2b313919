"""What the report's page is made of, and how values are looked up in its document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from preceptor.domain import Estimate

Document = Mapping[str, Any]
Options = ParamSpec("Options")


@dataclass(frozen=True, slots=True)
class Picture:
    """An inline SVG under its title, with one or two sentences that say how to read it."""

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its first column names the row, the others are right-aligned when `numeric`.

    A cell's second line (after a line break) is set small under its first.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """One item as people and the model answered it: (answer, people's share, model's probability), shares in [0, 1]."""

    text: str
    said: str
    shares: Sequence[tuple[str, float, float]]


@dataclass(frozen=True, slots=True)
class Writing:
    """What models wrote: (model, its text) each, beside the reference; `said` is how near the first one came."""

    prompt: str
    reference: str
    answers: Sequence[tuple[str, str]]
    said: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row as a model was trained on it: (token's text, whether it is learnt) each, after `before` tokens that aren't shown."""

    id: str
    tokens: Sequence[tuple[str, bool]]
    before: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """An example of a suite: (name, text) each, where a text is pieces of (text, whether it is marked); `said` is why it stands here."""

    parts: Sequence[tuple[str, Sequence[tuple[str, bool]]]]
    said: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: paragraphs first, then points, pictures, tables, examples and rows token by token."""

    key: str
    title: str
    paragraphs: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    examples: Sequence[Example] = ()
    writings: Sequence[Writing] = ()
    rendered: Sequence[Rendered] = ()
    points: Sequence[str] = ()
    evidence: Sequence[Evidence] = ()
    evidence_title: str = "Its worst examples, with their evidence"

    @property
    def is_empty(self) -> bool:
        texts, examples = (self.paragraphs, self.points), (self.examples, self.writings, self.rendered, self.evidence)
        return not any((*texts, self.pictures, self.tables, *examples))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer first: `state` is met, missed, undecided or plain (no gate yet); bounds are (state, its word, sentence) each.

    decided: who let it out; it stands before the bounds, the other sentences after them.
    """

    state: str
    headline: str
    sentences: Sequence[str] = ()
    bounds: Sequence[tuple[str, str, str]] = ()
    decided: Sequence[str] = ()


def picture(
    caption: str, draw: Callable[Concatenate[str, Options], str], title: str, *args: Options.args, **kwargs: Options.kwargs
) -> Picture:
    """A plot function's drawing under its title."""
    return Picture(title, draw(title, *args, **kwargs), caption)


def look(document: Document, *keys: str) -> Any:
    """The value under a path of keys, or None where any part of it is absent."""
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def figure(document: Document, *keys: str) -> Estimate | None:
    """The Estimate under a path of keys, or None."""
    value = look(document, *keys)
    return Estimate.of(value) if is_estimate(value) else None


def is_estimate(value: Any) -> bool:
    """Whether a JSON value is an Estimate written by `to_dict`."""
    return isinstance(value, Mapping) and set(value) == {"value", "low", "high", "n", "method", "confidence"}
