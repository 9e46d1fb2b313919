"""The report as one self-contained HTML page: verdict first, then each figure with its interval as a picture.

Sections are built from the report's document as plain values; the template only lays them out. Whatever stage isn't
done has no section.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.evaluation.page.forgetting import forgetting_section
from preceptor.evaluation.page.limits import limits_section
from preceptor.evaluation.page.migration import migration_section
from preceptor.evaluation.page.models import faults_section, growth_section, quality_section, training_section
from preceptor.evaluation.page.outcome import cost_section, lineage_section, release_section, verdict
from preceptor.evaluation.page.parts import Document, Section, Verdict
from preceptor.evaluation.page.people import judgments_section, question_section, snapshot_section
from preceptor.evaluation.page.reinforcement import reinforcement_section
from preceptor.evaluation.page.slices import previous_section, slices_section
from preceptor.evaluation.page.suites import suite_sections
from preceptor.evaluation.wording import duration, moment

__all__ = ["lay_out", "render"]

_BEFORE_SUITES = (release_section, question_section, judgments_section, quality_section, slices_section, previous_section, faults_section)
_AFTER_SUITES = (
    forgetting_section,
    migration_section,
    limits_section,
    growth_section,
    cost_section,
    snapshot_section,
    training_section,
    reinforcement_section,
    lineage_section,
)


def render(document: Document) -> str:
    """The page for a report's document; all text is escaped, nothing is fetched from elsewhere."""
    before, after = ([build(document) for build in builders] for builders in (_BEFORE_SUITES, _AFTER_SUITES))
    sections = [section for section in (*before, *suite_sections(document), *after) if not section.is_empty]
    return lay_out(document.get("title") or "Report", verdict(document), sections, _facts(document))


def lay_out(title: str, verdict: Verdict, sections: Sequence[Section], facts: Sequence[tuple[str, str]] = ()) -> str:
    """One self-contained page: the verdict, then its sections, then small facts (name, value)."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("preceptor.evaluation"), autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.get_template("report.html").render(title=title, verdict=verdict, sections=sections, facts=facts)


def _facts(document: Document) -> list[tuple[str, str]]:
    facts = []
    if document.get("preceptor"):
        facts.append(("Preceptor", str(document["preceptor"])))
    if document.get("created"):
        facts.append(("made", moment(document["created"])))
    if document.get("seconds"):
        facts.append(("took", duration(document["seconds"])))
    if document.get("seed") is not None:
        facts.append(("seed", str(document["seed"])))
    if document.get("stages"):
        facts.append(("stages done", ", ".join(str(stage) for stage in document["stages"])))
    return facts
