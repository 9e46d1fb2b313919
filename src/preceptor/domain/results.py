"""What is computed from judgments: posteriors and figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf, isinf
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval: the only form in which a quality figure leaves the system.

    n counts independent units (groups of items, never judgments); method is in words ("wilson",
    "document bootstrap"); confidence is the interval's nominal coverage.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    confidence: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, which knows no infinity: an end that the data can't bound is None."""
        return {**asdict(self), **{name: None if isinf(end) else end for name, end in (("low", self.low), ("high", self.high))}}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Estimate:
        """What `to_dict` was made of."""
        low, high = value["low"], value["high"]
        return cls(**{**value, "low": -inf if low is None else low, "high": inf if high is None else high})

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def as_share(self) -> str:
        """In per cent."""
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"

    def in_points(self) -> str:
        """A difference of shares, with its sign."""
        return f"{100 * self.value:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


@dataclass(frozen=True, slots=True)
class AnnotatorQuality:
    """What the consensus says of one annotator.

    accuracy: agreement with the posterior. confusion: row k is what they say when the answer is k
    (k × k, rows sum to 1), None where the method has no such table.
    """

    judgments: int
    accuracy: Estimate | None = None
    confusion: FloatArray | None = None


@dataclass(frozen=True)
class Consensus:
    """Per item a posterior over answers, and what it rests on.

    posterior: n × k float64, rows sum to 1, columns in the order of `answers`.
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
class Composed(Consensus):
    """A consensus whose answers are made from what people gave (an order, a text, spans) rather than chosen from a list.

    composed: the answer of each item, in the form in which answers are stored. parts: what it was made from, of each item.
    posterior: n × 2, the probability that the composed answer is right, and that it isn't; `method` says what that means.
    """

    ANSWERS: ClassVar[tuple[str, str]] = ("as composed", "otherwise")

    composed: tuple[Any, ...] = ()
    parts: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, items: tuple[Any, ...], composed: Sequence[Any], certainty: Any, counts: IntArray, **more: Any) -> Self:
        """From the composed answers and how certain each is, 0 to 1; `more`: the other fields."""
        sure = np.clip(np.asarray(certainty, dtype=np.float64), 0.0, 1.0)
        return cls(items, cls.ANSWERS, np.stack([sure, 1 - sure], axis=1), counts, composed=tuple(composed), **more)

    @property
    def top(self) -> tuple[Any, ...]:
        """The composed answer of each item."""
        return self.composed

    @property
    def certainty(self) -> FloatArray:
        """How certain each composed answer is; below one half too."""
        return self.posterior[:, 0]
