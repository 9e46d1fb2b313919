"""Render a report's document as one self-contained HTML page.

Sections are built from the report's document as plain values; the template only lays them out. A stage that isn't done has no section.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.evaluation.number_format import format_duration, format_timestamp
from preceptor.reporting.annotation_sections import judgments_section, question_section, snapshot_section
from preceptor.reporting.model_sections import errors_section, learning_curve_section, quality_section, training_section
from preceptor.reporting.page_elements import PageSection, PageVerdict, ReportDocument
from preceptor.reporting.release_sections import (
    cost_section,
    limits_section,
    lineage_section,
    migration_section,
    release_section,
    report_verdict,
)
from preceptor.reporting.suite_sections import previous_section, slices_section, suite_sections
from preceptor.reporting.training_sections import forgetting_section, reinforcement_section

_BEFORE_SUITES = (release_section, question_section, judgments_section, quality_section, slices_section, previous_section, errors_section)
_AFTER_SUITES = (
    forgetting_section,
    migration_section,
    limits_section,
    learning_curve_section,
    cost_section,
    snapshot_section,
    training_section,
    reinforcement_section,
    lineage_section,
)


def render_report(document: ReportDocument) -> str:
    """Render the page of a report's document; all text is escaped, nothing is loaded from elsewhere."""
    before, after = ([build(document) for build in builders] for builders in (_BEFORE_SUITES, _AFTER_SUITES))
    sections = [section for section in (*before, *suite_sections(document), *after) if not section.is_empty]
    return render_page(document.get("title") or "Report", report_verdict(document), sections, _report_facts(document))


def render_page(title: str, verdict: PageVerdict, sections: Sequence[PageSection], facts: Sequence[tuple[str, str]] = ()) -> str:
    """Render one self-contained page: the verdict, then its sections, then small facts (name, value)."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("preceptor.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html").render(title=title, verdict=verdict, sections=sections, facts=facts)


def _report_facts(document: ReportDocument) -> list[tuple[str, str]]:
    facts = []
    if document.get("preceptor"):
        facts.append(("Preceptor", str(document["preceptor"])))
    if document.get("created"):
        facts.append(("made", format_timestamp(document["created"])))
    if document.get("seconds"):
        facts.append(("took", format_duration(document["seconds"])))
    if document.get("seed") is not None:
        facts.append(("seed", str(document["seed"])))
    if document.get("stages"):
        facts.append(("stages done", ", ".join(str(stage) for stage in document["stages"])))
    return facts
