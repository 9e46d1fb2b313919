"""The contract of a metric, and the registry of them.

A metric looks at each answer once and keeps numbers whose sums over rows suffice for its figure. So an interval, which
needs the figure of thousands of resamples, costs additions only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from preceptor.errors import UserError
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.registry import OptionsBase, Registry
from preceptor.types import FloatArray

SHARE_LIMITS = (0.0, 1.0)


@dataclass(frozen=True)
class MetricMeasurement:
    """What a metric found in n answers.

    columns: (n, s); NaN in a row that the metric can't measure. figure: from sums of rows (…, s) to the figure (…); None where
    the one column holds each answer's own value and the figure is their mean. within: the least and the greatest figure.
    how: what was used, in the words that make it comparable (sacrebleu's signature).
    """

    columns: FloatArray
    figure: Callable[[FloatArray], FloatArray] | None = None
    within: tuple[float, float] = SHARE_LIMITS
    signature: str = ""


class TextMetric(Protocol):
    """`measure` is pure, and looks at each answer by itself: rows in another order give the same rows in that order.

    It is made from its `Options`. It takes texts and what was asked, in the same order; references where `needs_reference`.
    """

    needs_reference: bool

    @property
    def Options(self) -> type[OptionsBase]: ...

    def __init__(self, options: Any = ...) -> None: ...

    def measure(self, texts: Sequence[str], asked: Sequence[SuitePrompt]) -> MetricMeasurement: ...


metrics: Registry[type[TextMetric]] = Registry(
    "metric",
    group="preceptor.metrics",
    built_in={
        "accuracy": "preceptor.evaluation.metrics.reference_match",
        "exact_match": "preceptor.evaluation.metrics.reference_match",
        "token_f1": "preceptor.evaluation.metrics.reference_match",
        "macro_f1": "preceptor.evaluation.metrics.reference_match",
        "rouge_1": "preceptor.evaluation.metrics.rouge",
        "rouge_2": "preceptor.evaluation.metrics.rouge",
        "rouge_l": "preceptor.evaluation.metrics.rouge",
        "bleu": "preceptor.evaluation.metrics.translation",
        "chrf": "preceptor.evaluation.metrics.translation",
    },
)


def named_metrics(given: Sequence[str | Mapping[str, Any]], *, where: str = "") -> dict[str, TextMetric]:
    """Metrics as a suite names them, ready to measure: a name, or a table of `name` and the metric's options.

    UserError for a name or an option that isn't known, and for a metric named twice.
    """
    made: dict[str, TextMetric] = {}
    for entry in given:
        options = {} if isinstance(entry, str) else dict(entry)
        name = entry if isinstance(entry, str) else options.pop("name", None)
        if not isinstance(name, str):
            raise UserError("a metric given as a table needs a name", '{ name = "chrf", word_order = 2 }', where=where)
        if name in made:
            raise UserError(f"the metric {name!r} is named twice", "name it once, with its options", where=where)
        try:
            kind: Any = metrics.get(name)
            made[name] = kind(kind.Options.parse(options, of=f"metric {name!r}"))
        except UserError as error:
            raise UserError(error.message, error.hint, where=where or error.where) from None
    return made
