"""Define the elements of a report page, look values up in its document, and say how each metric is displayed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from preceptor.evaluation.number_format import NumberFormat, format_decimal, format_percent
from preceptor.types import Estimate

ReportDocument = Mapping[str, Any]
DrawOptions = ParamSpec("DrawOptions")


@dataclass(frozen=True, slots=True)
class PagePicture:
    """An inline SVG under its title, with a caption of one or two sentences that say how to read it."""

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table; its first column names the row, the others are right-aligned when `numeric`.

    A cell's second line (after a line break) is set small under its first.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class ItemExample:
    """One item as people and the model answered it; shares: (answer, people's share, model's probability) each, in [0, 1]."""

    text: str
    caption: str
    shares: Sequence[tuple[str, float, float]]


@dataclass(frozen=True, slots=True)
class GenerationExample:
    """The answers that models generated, (model, its text) each, with the reference; `caption` says how near the first one is to it."""

    prompt: str
    reference: str
    answers: Sequence[tuple[str, str]]
    caption: str


@dataclass(frozen=True, slots=True)
class TokenizedRow:
    """A row as a model was trained on it: (token's text, whether it is supervised) each, after `hidden_tokens` that aren't shown."""

    id: str
    tokens: Sequence[tuple[str, bool]]
    hidden_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EvidenceExample:
    """An example of a suite: (name, text) each, where a text is pieces of (text, whether it is marked).

    `caption` says why the example is shown.
    """

    parts: Sequence[tuple[str, Sequence[tuple[str, bool]]]]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class PageSection:
    """One section of the page: paragraphs first, then points, pictures, tables, examples and rows token by token."""

    key: str
    title: str
    paragraphs: Sequence[str] = ()
    pictures: Sequence[PagePicture] = ()
    tables: Sequence[PageTable] = ()
    examples: Sequence[ItemExample] = ()
    writings: Sequence[GenerationExample] = ()
    rendered: Sequence[TokenizedRow] = ()
    points: Sequence[str] = ()
    evidence: Sequence[EvidenceExample] = ()
    evidence_title: str = "Its worst examples, with their evidence"

    @property
    def is_empty(self) -> bool:
        texts, examples = (self.paragraphs, self.points), (self.examples, self.writings, self.rendered, self.evidence)
        return not any((*texts, self.pictures, self.tables, *examples))


@dataclass(frozen=True, slots=True)
class PageVerdict:
    """The verdict on top of the page: `state` is met, missed, undecided or plain (no gate yet).

    bounds: (state, its word, sentence) each. decision_sentences: who released it; they precede the bounds, and `sentences` follow them.
    """

    state: str
    headline: str
    sentences: Sequence[str] = ()
    bounds: Sequence[tuple[str, str, str]] = ()
    decision_sentences: Sequence[str] = ()


def draw_picture(
    caption: str, draw: Callable[Concatenate[str, DrawOptions], str], title: str, *args: DrawOptions.args, **kwargs: DrawOptions.kwargs
) -> PagePicture:
    """Draw a chart function's picture under its title."""
    return PagePicture(title, draw(title, *args, **kwargs), caption)


def look_up(document: ReportDocument, *keys: str) -> Any:
    """Return the value under a path of keys, or None where any part of it is absent."""
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def find_estimate(document: ReportDocument, *keys: str) -> Estimate | None:
    """Return the Estimate under a path of keys, or None."""
    value = look_up(document, *keys)
    return Estimate.from_dict(value) if is_estimate(value) else None


def is_estimate(value: Any) -> bool:
    """Return whether a JSON value is an Estimate written by `to_dict`."""
    return isinstance(value, Mapping) and set(value) == {"value", "low", "high", "n", "method", "confidence"}


@dataclass(frozen=True, slots=True)
class MetricDisplay:
    """How one metric is displayed: its meaning in words, its number format, and the least and greatest possible value."""

    meaning: str
    number_format: NumberFormat = format_percent
    limits: tuple[float, float] = (0.0, 1.0)


METRIC_DISPLAYS = {
    "accuracy": MetricDisplay("The share of items that the model answers as the people did. Higher is better."),
    "macro_f1": MetricDisplay("Like accuracy, but every answer counts the same however rare it is. Higher is better."),
    "log_loss": MetricDisplay(
        "How surprised the model is by the people's answers, in nats. Lower is better.", format_decimal, (0.0, math.inf)
    ),
    "ece": MetricDisplay("How far the certainty it states is from how often it is right. Lower is better."),
    "brier": MetricDisplay("The squared distance between its probabilities and the answers. Lower is better.", format_decimal, (0.0, 2.0)),
    "ranked_probability": MetricDisplay(
        "The squared distance of its probabilities from the answers, which grows with the steps between them. Lower is better.",
        format_decimal,
    ),
    "steps_off": MetricDisplay(
        "How many steps its answer is from the people's, on average. Lower is better.", format_decimal, (0.0, math.inf)
    ),
    "likelier": MetricDisplay("The share of pairs whose preferred answer is the more probable one, token for token. Higher is better."),
    "calibration_error": MetricDisplay("How far its certainty of a preference is from how often people share it. Lower is better."),
    "longer_wins": MetricDisplay("The share of pairs in which people prefer the longer answer: going by length alone is right so often."),
    "accuracy_longer_won": MetricDisplay("Its accuracy where people prefer the longer answer. Higher is better."),
    "accuracy_shorter_won": MetricDisplay(
        "Its accuracy where people prefer the shorter answer: low where it goes by length. Higher is better."
    ),
    "length_correlation": MetricDisplay(
        "How far its preference follows the difference in length, from -1 to 1.", format_decimal, (-1.0, 1.0)
    ),
    "separation": MetricDisplay("How often a response called good gained more than one called bad; 50 % is chance. Higher is better."),
    "change_good": MetricDisplay(
        "Nats that responses which people call good gained since the base.", format_decimal, (-math.inf, math.inf)
    ),
    "change_bad": MetricDisplay("Nats that responses which people call bad gained since the base.", format_decimal, (-math.inf, math.inf)),
    "exact_match": MetricDisplay("The share of answers that are the reference text itself, space aside. Higher is better."),
    "token_f1": MetricDisplay("How far the words of answer and reference are the same, their order aside. Higher is better."),
    "format": MetricDisplay("The share of answers in the form that the references have. Higher is better."),
    "refusals": MetricDisplay("The share of answers that refuse what the reference answers. Lower is better."),
    "latency": MetricDisplay(
        "Seconds until an answer is there, asked for one at a time. Lower is better.", format_decimal, (0.0, math.inf)
    ),
    "log_probability": MetricDisplay(
        "How probable a token of the reference is to the model, in nats. Nearer to zero is better.", format_decimal, (-math.inf, 0.0)
    ),
    "error": MetricDisplay("The share of answers that are wrong, were all given. Lower is better."),
    "rouge_1": MetricDisplay("Words that answer and reference share (ROUGE-1). Higher is better."),
    "rouge_2": MetricDisplay("Pairs of words that answer and reference share (ROUGE-2). Higher is better."),
    "rouge_l": MetricDisplay("The longest run of words in the same order (ROUGE-L). Higher is better."),
    "bleu": MetricDisplay("Overlap with the reference translation (BLEU, as a share of 1). Higher is better.", format_decimal),
    "chrf": MetricDisplay("Overlap with the reference, letter by letter (chrF, as a share of 1). Higher is better.", format_decimal),
    "hallucination": MetricDisplay("The share of claims that the sources contradict or don't hold. Lower is better."),
    "hallucination_responses": MetricDisplay(
        "The share of responses with at least one such claim, refusals counted as without. Lower is better."
    ),
    "claims_per_response": MetricDisplay(
        "How many claims a response makes. A model that says less errs less often.", format_decimal, (0.0, math.inf)
    ),
    "claimless": MetricDisplay("The share of responses without any claim, such as refusals."),
    "violations": MetricDisplay("The share of answers that break at least one rule. Lower is better."),
    "missed_refusals": MetricDisplay("Of what it must refuse, the share that it answered. Lower is better."),
    "needless_refusals": MetricDisplay("Of what it needn't refuse, the share that it refused. Lower is better."),
    "selective_risk": MetricDisplay("The share of wrong answers among those that it is surest of. Lower is better."),
    "aurc": MetricDisplay("Wrong answers among the surest part, averaged over how large that part is. Lower is better."),
    "says_unknown": MetricDisplay("Of what nobody can answer, the share where it says so. Higher is better."),
    "citation_recall": MetricDisplay(
        "Of the sentences that state something, the share that a source which they cite bears out. Higher is better."
    ),
    "citation_precision": MetricDisplay("Of all citations, the share whose source bears its sentence out. Higher is better."),
    "golden_cited": MetricDisplay("The share of answers that cite a source which is known to bear the answer out. Higher is better."),
    "golden_found": MetricDisplay(
        "The share of questions with a source before them that is known to bear the answer out. Higher is better."
    ),
    "accuracy_above": MetricDisplay(
        "How much more accurate it is, tuned and with sources, than each other way.", format_percent, (-1.0, 1.0)
    ),
    "needless_unknown": MetricDisplay("Of what can be answered, the share where it says that it doesn't know. Lower is better."),
}


_OTHER_DISPLAYS = {  # metrics that have their own sections on the page
    "retention": MetricDisplay(
        "How much of the base's general log-probability is left; 100 % is as much as before.", format_percent, (0.0, math.inf)
    ),
    "win_rate": MetricDisplay("How often people prefer it, ties counted half. 50 % is as good as the other."),
}


def metric_display(key: str, estimate: Estimate) -> MetricDisplay:
    """Return how a metric is displayed: as known by its name, else as a share where its interval lies in 0 to 1."""
    ends = (estimate.low, estimate.value, estimate.high)
    share = all(0 <= end <= 1 for end in ends)
    return (
        METRIC_DISPLAYS.get(key)
        or _OTHER_DISPLAYS.get(key)
        or (MetricDisplay("") if share else MetricDisplay("", format_decimal, (-math.inf, math.inf)))
    )


def reported_model(document: ReportDocument) -> str:
    """Return the key of the model that the report is about: the fine-tuned one, else the first."""
    models = look_up(document, "models") or {}
    return "tuned" if "tuned" in models else next(iter(models), "tuned")
