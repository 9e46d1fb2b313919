"""A report: estimates, plots and examples about a model, as one JSON document and as one HTML page."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from preceptor.domain import Estimate
from preceptor.errors import UserError
from preceptor.evaluation.page.models import subject
from preceptor.evaluation.page.parts import is_estimate


@dataclass(frozen=True)
class Report:
    """What was measured, in one JSON document; sections of stages that aren't done are absent.

    Make one with `from_document`, which turns Estimates and NumPy values into plain ones and refuses NaN.
    """

    document: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """A report from a document of JSON values, Estimates and NumPy values; UserError where a number isn't finite."""
        plain = _plain(document)
        if faults := list(_not_finite(plain)):
            shown = ", ".join(faults[:5])
            raise UserError(f"the report holds numbers that aren't finite: {shown}", "measure them again, or leave them out")
        return cls(plain)

    def __repr__(self) -> str:
        return f"<Report {self.document.get('title', '')!r}: {len(self.estimates)} estimates>"

    @property
    def estimates(self) -> dict[str, Estimate]:
        """All estimates by their path (`consensus.accuracy`); those of the reported model and of comparisons also by bare name.

        A suite's are found as NAME.figure, and by bare name where no other suite and not the model has one of this name.
        """
        by_path = dict(_estimates(self.document))
        shortcuts = ("comparison.", f"models.{subject(self.document)}.")
        bare = {path.removeprefix(start): found for start in shortcuts for path, found in by_path.items() if path.startswith(start)}
        return self._of_suites() | by_path | bare

    def _of_suites(self) -> dict[str, Estimate]:
        suites = self.document.get("suites") or {}
        of_each = {name: dict(_estimates(suite.get("figures") or {})) for name, suite in suites.items()}
        times = Counter(figure for figures in of_each.values() for figure in figures)
        named = {f"{name}.{figure}": found for name, figures in of_each.items() for figure, found in figures.items()}
        return named | {figure: found for figures in of_each.values() for figure, found in figures.items() if times[figure] == 1}

    def to_json(self) -> str:
        """The document as JSON text."""
        return json.dumps(self.document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"

    def to_html(self) -> str:
        """The document as one self-contained page."""
        from preceptor.evaluation.page import render

        return render(self.document)

    def to_markdown(self) -> str:
        """The document as a model card, see `preceptor.evaluation.card`."""
        from preceptor.evaluation.card import card

        return card(self.document)

    def save_json(self, path: str | Path) -> None:
        """Write report.json; a reader sees the old file or the whole new one."""
        _save(path, self.to_json())

    def save_html(self, path: str | Path) -> None:
        """Write report.html; a reader sees the old file or the whole new one."""
        _save(path, self.to_html())

    def save_card(self, path: str | Path) -> None:
        """Write the model card (README.md of a model's folder); a reader sees the old file or the whole new one."""
        _save(path, self.to_markdown())

    def save_pdf(self, path: str | Path) -> None:
        """Write the page printed by Chromium; UserError when there is none."""
        from preceptor.evaluation.printing import print_pdf

        print_pdf(self.to_html(), path)


def _save(path: str | Path, text: str) -> None:
    from preceptor.formats.atomic import atomic_write

    with atomic_write(Path(path), mode="wb") as file:
        file.write(text.encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return _plain(value.to_dict())
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _not_finite(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    for key, part in _children(value):
        yield from _not_finite(part, f"{path}.{key}".removeprefix("."))


def _estimates(value: Any, path: str = "") -> Iterator[tuple[str, Estimate]]:
    if is_estimate(value):
        yield path, Estimate.of(value)
        return
    for key, part in _children(value):
        yield from _estimates(part, f"{path}.{key}".removeprefix("."))


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
