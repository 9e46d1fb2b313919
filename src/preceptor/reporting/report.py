"""Hold a report's document of estimates, and write it as JSON, HTML, PDF or a model card.

A PDF is the HTML page printed by Chromium, with the page's style for paper.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from preceptor.errors import UserError
from preceptor.reporting.page_elements import is_estimate, reported_model
from preceptor.types import Estimate


@dataclass(frozen=True)
class Report:
    """The measurements of a model as one JSON document; sections of stages that aren't done are absent.

    Build one with `from_document`, which converts Estimates and NumPy values to plain ones and refuses NaN.
    """

    document: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Build a report from a document of JSON values, Estimates and NumPy values.

        Raises UserError where a number isn't finite.
        """
        plain = _to_plain(document)
        if faults := list(_iter_not_finite(plain)):
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
        by_path = dict(_iter_estimates(self.document))
        shortcuts = ("comparison.", f"models.{reported_model(self.document)}.")
        bare = {path.removeprefix(start): found for start in shortcuts for path, found in by_path.items() if path.startswith(start)}
        return self._of_suites() | by_path | bare

    def _of_suites(self) -> dict[str, Estimate]:
        suites = self.document.get("suites") or {}
        of_each = {name: dict(_iter_estimates(suite.get("figures") or {})) for name, suite in suites.items()}
        times = Counter(figure for figures in of_each.values() for figure in figures)
        named = {f"{name}.{figure}": found for name, figures in of_each.items() for figure, found in figures.items()}
        return named | {figure: found for figures in of_each.values() for figure, found in figures.items() if times[figure] == 1}

    def to_json(self) -> str:
        """Return the document as JSON text."""
        return json.dumps(self.document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"

    def to_html(self) -> str:
        """Render the document as one self-contained page."""
        from preceptor.reporting.html_page import render_report

        return render_report(self.document)

    def to_markdown(self) -> str:
        """Render the document as a model card, see `preceptor.reporting.model_card`."""
        from preceptor.reporting.model_card import render_model_card

        return render_model_card(self.document)

    def save_json(self, path: str | Path) -> None:
        """Write report.json; a reader sees the old file or the whole new one."""
        _write_text(path, self.to_json())

    def save_html(self, path: str | Path) -> None:
        """Write report.html; a reader sees the old file or the whole new one."""
        _write_text(path, self.to_html())

    def save_card(self, path: str | Path) -> None:
        """Write the model card (README.md of a model's folder); a reader sees the old file or the whole new one."""
        _write_text(path, self.to_markdown())

    def save_pdf(self, path: str | Path) -> None:
        """Write the page printed by Chromium.

        Raises UserError where Chromium isn't installed or fails.
        """

        print_pdf(self.to_html(), path)


def _write_text(path: str | Path, text: str) -> None:
    from preceptor.formats.durable_files import atomic_write

    with atomic_write(Path(path), mode="wb") as file:
        file.write(text.encode())


def _to_plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return _to_plain(value.to_dict())
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _to_plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(part) for part in value]
    return value


def _iter_not_finite(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    for key, part in _iter_children(value):
        yield from _iter_not_finite(part, f"{path}.{key}".removeprefix("."))


def _iter_estimates(value: Any, path: str = "") -> Iterator[tuple[str, Estimate]]:
    if is_estimate(value):
        yield path, Estimate.from_dict(value)
        return
    for key, part in _iter_children(value):
        yield from _iter_estimates(part, f"{path}.{key}".removeprefix("."))


def _iter_children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PRINT_TIMEOUT_SECONDS = 120


def print_pdf(html: str, path: str | Path) -> None:
    """Write a self-contained page as PDF; a reader sees the old file or the whole new one.

    Raises UserError when no Chromium is on the PATH, or when it fails or takes longer than two minutes.
    """
    from preceptor.formats.durable_files import atomic_write

    data = render_pdf(html)
    with atomic_write(Path(path)) as file:
        file.write(data)


def render_pdf(html: str) -> bytes:
    """Render a self-contained page as PDF.

    Raises UserError as `print_pdf` does.
    """
    program = next((found for name in _CHROMIUM_NAMES if (found := shutil.which(name))), None)
    if program is None:
        hint = "install it (apt-get install chromium), or open the HTML page in a browser and print it"
        raise UserError("printing to PDF needs Chromium, and none is on the PATH", hint)
    with tempfile.TemporaryDirectory() as folder:
        page, made = Path(folder) / "page.html", Path(folder) / "page.pdf"
        page.write_text(html, encoding="utf-8")
        try:
            done = subprocess.run(
                _chromium_command(program, page, made), capture_output=True, text=True, timeout=_PRINT_TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise UserError(
                f"Chromium didn't print the page within {_PRINT_TIMEOUT_SECONDS} seconds", "try again on a machine that does less"
            ) from None
        if not made.is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"Chromium couldn't print the page: {said}", "open the HTML page in a browser and print it")
        return made.read_bytes()


def _chromium_command(program: str, page: Path, made: Path) -> list[str]:
    flags = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-pdf-header-footer"]
    flags += [f"--user-data-dir={page.parent / 'profile'}", f"--print-to-pdf={made}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium has no sandbox for root; the page's policy forbids all scripts
    return [program, *flags, page.as_uri()]
