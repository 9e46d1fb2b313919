"""The interface of a text metric, and the registry of metrics.

A metric looks at each answer once and keeps numbers whose sums over rows suffice for its figure. So an interval, which needs the figure of
thousands of resamples, costs additions only.
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
    """What a metric measured in n answers.

    columns: (n, s); NaN in a row that the metric can't measure. figure: from sums of rows (…, s) to the figure (…); None where the one
    column holds each answer's own value and the figure is their mean. within: the least and the greatest possible figure. signature: the
    settings that make the figure comparable (sacrebleu's signature).
    """

    columns: FloatArray
    figure: Callable[[FloatArray], FloatArray] | None = None
    within: tuple[float, float] = SHARE_LIMITS
    signature: str = ""


class TextMetric(Protocol):
    """A metric of answers; `measure` is pure and looks at each answer by itself, so reordered rows give the same rows in the new order.

    It is constructed from its `Options`. It takes texts and their prompts in the same order; a prompt has a reference where
    `needs_reference`.
    """

    needs_reference: bool

    @property
    def Options(self) -> type[OptionsBase]: ...

    def __init__(self, options: Any = ...) -> None: ...

    def measure(self, texts: Sequence[str], prompts: Sequence[SuitePrompt]) -> MetricMeasurement:
        """Measure each answer in `texts`, (n,), against its prompt in `prompts`."""


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


def named_metrics(specs: Sequence[str | Mapping[str, Any]], *, where: str = "") -> dict[str, TextMetric]:
    """Return the metrics that a suite names, ready to measure, by name.

    An entry of `specs` is a name, or a table of `name` and the metric's options. Raises UserError for an unknown name or option, and for a
    metric named twice.
    """
    made: dict[str, TextMetric] = {}
    for entry in specs:
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
