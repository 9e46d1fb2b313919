"""The nouns of the system as frozen values: items, questions, judgments, consensus, estimates, runs, models, releases.

Nothing here reads, writes or computes statistics. Beside the nouns stand small functions that several packages need: rendering an
item's content as plain text, digests of JSON values, neutralising chat-template markup in text from outside, and choosing whose
pending work is dropped when a queue is full.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf, isinf
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Item:
    """An item that people or models look at.

    content: {"text": …}, or {"prompt": …, "completion": …}, or {"prompt": …, "responses": [texts]}, or
    {"messages": [{"role", "content"}, …]}, also with responses; beside it "sources" (texts, or {"title", "text", "golden"}), "claims"
    (texts) and "format" ("text" or "markdown") where there are any. A message that only calls tools has null for its content.
    group: what must stay in one split (a document, a customer); the item's own id when not given.
    purpose: only questions of the same purpose are asked about it. Ordinary items have none; a model's answers that people
    verify or compare have one.
    """

    id: str
    content: Mapping[str, Any]
    group: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = ""

    @property
    def text(self) -> str:
        """The content as one plain text, as a classifier reads it."""
        return render_content(self.content)


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is asked about items: immutable, versioned.

    options: the possible answers (labels of a choice, points of a rating scale).
    settings: what its kind needs besides (see the kind's own module).
    follows: asked in one form with another question, {"question": its name, "answers": [those after which it is asked]};
    without answers it is always asked with it. skills: what a person must have to be asked. purpose: it is asked about items of
    this purpose; an ordinary question has none.
    """

    name: str
    kind: str
    options: tuple[Any, ...] = ()
    instructions: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    follows: Mapping[str, Any] | None = None
    skills: tuple[str, ...] = ()
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Annotator:
    """A person, or a model acting as one (`kind` says which), with a role in the project.

    daily_limit: judgments a day, unlimited when None. paused: given no items until a manager resumes them.
    """

    id: str
    role: str = "annotator"
    kind: str = "person"
    skills: tuple[str, ...] = ()
    daily_limit: int | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Judgment:
    """One annotator's answer to one question about one item; `seconds` is the time taken, `created` a Unix time."""

    id: int
    item: str
    question: str
    annotator: str
    answer: Any
    seconds: float | None
    created: float


@dataclass(frozen=True, slots=True)
class Gold:
    """An item's known answer, with the explanation shown to annotators who answer otherwise."""

    item: str
    question: str
    answer: Any
    explanation: str = ""


def render_source(source: Any) -> str:
    """Return a source as one text: itself, or its title over its text."""
    if isinstance(source, Mapping):
        return "\n".join(str(source[part]) for part in ("title", "text") if source.get(part))
    return str(source)


def render_sources(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sources beside a content, each as one text."""
    return tuple(map(render_source, content.get("sources") or ()))


def render_content(content: Mapping[str, Any]) -> str:
    """Return a content as plain text: its text, or prompt and completion or responses, or its messages and responses."""
    if "text" in content:
        return str(content["text"])
    if "messages" in content:
        parts = [f"{turn['role']}: {render_message(turn)}" for turn in content["messages"]]
    else:
        parts = [str(content[part]) for part in ("prompt", "completion") if part in content]
    return "\n".join([*parts, *map(str, content.get("responses", ()))])


def render_message(turn: Mapping[str, Any]) -> str:
    """Return a message as plain text: its content, with several parts one below the other.

    A message without content is rendered as the tools that it calls, `name(arguments)`.
    """
    said = turn.get("content")
    if isinstance(said, list):
        said = "\n".join(str(part["text"]) for part in said)
    if said:
        return str(said)
    calls = [call.get("function") or call for call in [*(turn.get("tool_calls") or ()), *filter(None, [turn.get("function_call")])]]
    return "\n".join(f"{call.get('name', 'tool')}({_render_arguments(call.get('arguments', ''))})" for call in calls)


def _render_arguments(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval: the only form in which a quality figure leaves the system.

    n counts independent units (groups of items, never judgments); method names the interval in plain words ("wilson",
    "document bootstrap"); confidence is the interval's nominal coverage.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    confidence: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as a JSON object; JSON knows no infinity, so that a bound which the data can't give is None."""
        return {**asdict(self), **{name: None if isinf(end) else end for name, end in (("low", self.low), ("high", self.high))}}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Estimate:
        """Return the estimate that `to_dict` turned into this object."""
        low, high = value["low"], value["high"]
        return cls(**{**value, "low": -inf if low is None else low, "high": inf if high is None else high})

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def format_percent(self) -> str:
        """Return the figure and its interval as percentages."""
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"

    def format_points(self) -> str:
        """Return a difference of shares and its interval in percentage points, with signs."""
        return f"{100 * self.value:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


@dataclass(frozen=True, slots=True)
class AnnotatorQuality:
    """How good one annotator is, measured by the consensus.

    judgments: how many they gave. accuracy: agreement with the posterior. confusion: row k is how they answer when the answer is k
    (k × k, rows sum to 1), None where the method has no such table.
    """

    judgments: int
    accuracy: Estimate | None = None
    confusion: FloatArray | None = None


@dataclass(frozen=True)
class Consensus:
    """A posterior over answers for each item, and what it rests on.

    posterior: n × k float64, rows sum to 1, columns in the order of `answers`. judgment_counts: judgments of each item.
    value, spread: posterior mean and standard deviation, for numeric questions only.
    """

    items: tuple[Any, ...]
    answers: tuple[Any, ...]
    posterior: FloatArray
    judgment_counts: IntArray
    annotators: Mapping[Any, AnnotatorQuality]
    method: str
    question: str = ""
    value: FloatArray | None = None
    spread: FloatArray | None = None
    converged: bool = True
    iterations: int = 0
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        about = f" of {self.question!r}" if self.question else ""
        return f"<{type(self).__name__}{about} by {self.method}: {len(self.items):,} items, {len(self.answers)} answers>"

    @property
    def top(self) -> tuple[Any, ...]:
        """The most probable answer of each item; a tie goes to the earlier answer."""
        return tuple(self.answers[k] for k in self.posterior.argmax(axis=1))

    @property
    def certainty(self) -> FloatArray:
        """The probability of the most probable answer of each item."""
        return np.asarray(self.posterior.max(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class ComposedConsensus(Consensus):
    """A consensus whose answers are composed from the judgments (an order, a text, spans) rather than chosen from a list.

    composed: the answer of each item, in the form in which answers are stored. parts: what each item's answer was made from.
    posterior: n × 2, the probability that the composed answer is right, and that it isn't; `method` says what that means.
    """

    ANSWERS: ClassVar[tuple[str, str]] = ("as composed", "otherwise")

    composed: tuple[Any, ...] = ()
    parts: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_answers(cls, items: tuple[Any, ...], composed: Sequence[Any], certainty: Any, counts: IntArray, **more: Any) -> Self:
        """Return a consensus of composed answers, each with its certainty (0 to 1); `more`: the other fields."""
        sure = np.clip(np.asarray(certainty, dtype=np.float64), 0.0, 1.0)
        return cls(items, cls.ANSWERS, np.stack([sure, 1 - sure], axis=1), counts, composed=tuple(composed), **more)

    @property
    def top(self) -> tuple[Any, ...]:
        """The composed answer of each item."""
        return self.composed

    @property
    def certainty(self) -> FloatArray:
        """The certainty of each composed answer; it may be below one half."""
        return self.posterior[:, 0]


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a recipe."""

    id: str
    recipe: str
    snapshot: str
    base: str
    options: Mapping[str, Any]
    seed: int
    status: str


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model: `path` is its folder, `manifest` names base, recipe, snapshot, labels and digests."""

    id: str
    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        recipe, base = self.manifest.get("recipe"), self.manifest.get("base")
        return f"<Model {self.id!r}: {recipe} from {base}, in {str(self.path)!r}>"


@dataclass(frozen=True, slots=True)
class Release:
    """A named person's decision about a model, with the report that was seen at that moment."""

    model: str
    by: str
    decision: str
    report: str
    note: str = ""
    bounds: tuple[Mapping[str, Any], ...] = ()


def json_digest(value: Any) -> str:
    """Return the hex sha256 of a JSON value in canonical form (sorted keys, no spaces, UTF-8, NaN refused)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MultipleChoiceItem:
    """A multiple-choice question with its options; `answer` is the position of the right one."""

    id: str
    question: str
    options: tuple[str, ...]
    answer: int

    @property
    def chance(self) -> float:
        """The accuracy of guessing at random."""
        return 1 / len(self.options)


@dataclass(frozen=True)
class RetentionData:
    """General texts and question suites that measure and limit forgetting: what the base model can do before it is trained.

    Texts are conversations that end with an answer (lists of dicts of role and content), by id. replay: may be trained on. texts: are
    used for evaluation only, and `origin` says what they are. suites: name -> questions. digest: of all that was named, the part used
    for evaluation included.
    """

    replay: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    texts: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    suites: Mapping[str, Sequence[MultipleChoiceItem]] = field(default_factory=dict)
    origin: str = "general texts"
    digest: str = ""


CHAT_MARKUP = re.compile(
    r"<\|im_(?:start|end)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<\|(?:start|end)_header_id\|>|<\|eot_id\|>"
    r"|<\|(?:user|assistant|system|end|endoftext)\|>"
)
PROMPT_HEADINGS = re.compile(r"^### (?:Instruction|Response|Assistant):", re.MULTILINE)  # a base without a template may well read these


def neutralize_chat_markup(text: str, special: Collection[str] = ()) -> str:
    """Return the text with a space inserted in each chat-template mark and special token, so that a model reads it as data.

    The rest of the text stays as it is. special: the tokenizer's own special tokens, as `special_texts` gives them; one of a single
    character becomes a space.
    """
    marks = sorted({mark for mark in special if mark}, key=len, reverse=True)
    text = PROMPT_HEADINGS.sub(lambda found: f" {found[0]}", text)
    while True:
        found = CHAT_MARKUP.sub(lambda mark: _break_mark(mark[0]), text)
        for mark in marks:
            found = found.replace(mark, _break_mark(mark))
        if found == text:
            return found
        text = found


def _break_mark(mark: str) -> str:
    return f"{mark[0]} {mark[1:]}" if len(mark) > 1 else " "


def pick_victim(held: Mapping[str, int], caller: str) -> str:
    """Return the caller whose newest entry is dropped when a queue holds too much: the one that holds most.

    Among equals it is `caller`, the one who asks now. held: entries by caller, the new one included.
    """
    return max(held, key=lambda each: (held[each], each == caller))


def strip_answer(content: Mapping[str, Any], *, all_turns: bool = False) -> dict[str, Any]:
    """Return a content without the answer in it: the completion, or the assistant's last messages.

    all_turns: give the assistant's earlier messages weight 1, where they have no weight, so that they are training targets too.
    """
    if "messages" not in content:
        return {part: value for part, value in content.items() if part not in ("completion", "responses")}
    turns = [dict(turn) for turn in content["messages"]]
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    if all_turns:
        turns = [{**turn, "weight": turn.get("weight", 1)} if turn["role"] == "assistant" else turn for turn in turns]
    return {**{part: value for part, value in content.items() if part not in ("completion", "responses")}, "messages": turns}
