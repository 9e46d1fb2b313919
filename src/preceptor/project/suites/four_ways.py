"""`preceptor evaluate MODEL --suite four_ways`: the base, the tuned model, and each with sources before the question, side by side.

Sources are what the project's search finds; where it has no documents, each question's own. Tuned alone is the newest `sft` model of the
same base and snapshot, which never saw a source, or else the model itself without sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.evaluation.answers import Asked
from preceptor.evaluation.suites import Suite
from preceptor.evaluation.suites.four_ways import WAYS, Way, four_ways_section
from preceptor.evaluation.suites.metrics.metric import named_metrics
from preceptor.evaluation.suites.task import measure_all
from preceptor.project.bases import base_of
from preceptor.project.documents.grounding import SOURCES, Grounded, Grounding, folder_chat
from preceptor.project.suites import answering
from preceptor.project.suites.subjects import Subject, subject_of
from preceptor.retrieval import Hit
from preceptor.retrieval.citations import MARKER, counted
from preceptor.retrieval.layout import Source, with_sources
from preceptor.store import records

if TYPE_CHECKING:
    from preceptor.project.project import Project

Progress = Callable[[str], Callable[[int, int], None] | None]


def section(project: Project, suite: Suite, subject: Subject, asked: Sequence[Asked], progress: Progress) -> dict[str, Any]:
    """UserError for questions without a reference, and where there is no source to put before any question."""
    subjects = subjects_of(project, subject)
    grounding = Grounding(project)
    told = {name: _told(project, suite, who, asked, grounding if name in ("rag", "both") else None, progress(f"{suite.name}: {name}"))
            for name, who in subjects.items()}  # fmt: skip
    readable = [at for at in range(len(asked)) if all(asked[at].id in each.texts for each in told.values())]
    if not readable:
        raise UserError("no question can be read in each of the ways", "they are longer than the model reads, with their sources")
    kept = [asked[at] for at in readable]
    metric = next(iter(named_metrics(suite.metrics)))
    found = four_ways_section(
        {name: _way(suite, kept, each, grounding) for name, each in told.items()},
        ids=[each.id for each in kept], prompts=[each.prompt for each in kept], references=[each.reference for each in kept],
        groups=[each.group for each in kept], title=suite.title, metric=metric,
    )  # fmt: skip
    found["subjects"] = {name: who.name for name, who in subjects.items()}
    left = [each.id for at, each in enumerate(asked) if at not in set(readable)]
    return found | ({"unread": {"prompts": len(left), "first": left[:5]}} if left else {})


def subjects_of(project: Project, subject: Subject) -> dict[str, Subject]:
    """Who stands for each way; without the base, where it isn't at hand."""
    from preceptor.models.saving import weights_digest

    if subject.model is None:
        raise UserError(f"{subject.name} isn't a model that was trained here", "name a model's id: its base is known then")
    folder = base_of(project, subject.model, None)
    base = None if folder is None else Subject(str(subject.model.manifest["base"]), weights_digest(folder), folder)
    tuned = _tuned_alone(project, subject.model)
    there = {"base": base, "tuned": subject_of(project, tuned) if tuned else subject, "rag": base, "both": subject}
    return {name: who for name in WAYS if (who := there[name]) is not None}


def _tuned_alone(project: Project, model: Model) -> Model | None:
    """The newest `sft` model of the same base and snapshot; None where the model is one itself, or there is none."""
    same = ("base_weights", "snapshot")
    if model.manifest["recipe"] == "sft":
        return None
    with project.database.reading() as connection:
        ids = [row["id"] for row in records.models(connection)]
    for id_ in reversed(ids):
        other = project.model(id_)
        if other.manifest["recipe"] == "sft" and all(other.manifest.get(part) == model.manifest[part] for part in same):
            return other
    return None


@dataclass(frozen=True)
class _Told:
    """What a way said, by the questions' ids, and the sources that stood before each."""

    texts: Mapping[str, str]
    grounded: Mapping[str, Grounded]


def _told(project: Project, suite: Suite, who: Subject, asked: Sequence[Asked], grounding: Grounding | None, progress: Any) -> _Told:
    grounded: dict[str, Grounded] = {}
    read = list(asked)
    if grounding is not None:
        grounded = _grounded(project, grounding, who, asked, suite.max_tokens)
        read = [replace(each, turns=tuple(grounded[each.id].turns)) for each in asked]
    answers, _ = answering.written(project, who, read, max_tokens=suite.max_tokens, progress=progress)
    return _Told(dict(zip((each.id for each in answers.asked), answers.texts, strict=True)), grounded)


def _grounded(project: Project, grounding: Grounding, who: Subject, asked: Sequence[Asked], answer_tokens: int) -> dict[str, Grounded]:
    chat = folder_chat(who.folder)
    if grounding.has_documents:
        return {each.id: grounding.ground(each.turns, k=SOURCES, chat=chat, answer_tokens=answer_tokens) for each in asked}
    if not any(each.sources for each in asked):
        raise UserError("there are no sources to answer from", "add documents: preceptor documents add FILE, or give questions sources")
    return {each.id: _with_own(each, chat.special, grounding) for each in asked}


def _with_own(asked: Asked, special: Any, grounding: Grounding) -> Grounded:
    """A question with the sources that it came with."""
    hits = [Hit(f"source {at}", 1, at, 0, len(text), text, "", 1.0, {}) for at, text in enumerate(asked.sources, start=1)]
    return Grounded(with_sources(asked.turns, [Source(hit.text) for hit in hits], special), tuple(hits), grounding.support)


def _way(suite: Suite, asked: Sequence[Asked], told: _Told, grounding: Grounding) -> Way:
    from preceptor.recipes.grounded.cited import bare

    texts = [told.texts[each.id] for each in asked]
    plain = answering.answers_of("", asked, [bare(text) for text in texts], {})
    name, found = next(iter(measure_all(plain, named_metrics(suite.metrics)).items()))
    if found.figure is not None:
        raise UserError(f"{name} is a figure of all answers together, and says of none how right it is", 'metrics = ["exact_match"]')
    right = np.asarray(found.columns[:, 0], dtype=np.float64)
    if not told.grounded:
        return Way(texts, right)
    hits = [told.grounded[each.id].hits for each in asked]
    golden = [_golden(each, of) for each, of in zip(asked, hits, strict=True)]
    cites = [{int(number) for number in MARKER.findall(text)} for text in texts]
    return Way(
        texts,
        right,
        [counted(text, of, grounding.support) for text, of in zip(texts, hits, strict=True)],
        np.array([np.nan if each is None else float(bool(each)) for each in golden]),
        np.array([np.nan if each is None else float(bool(each & number)) for each, number in zip(golden, cites, strict=True)]),
    )


def _golden(asked: Asked, hits: Sequence[Hit]) -> set[int] | None:
    """The numbers of the sources that are pieces of those that the question came with; None where it came with none."""
    from preceptor.recipes.grounded.sources import WITHIN, shared

    if not asked.sources:
        return None
    own = [Source(text) for text in asked.sources]
    return {number for number, hit in enumerate(hits, start=1) if shared(Source.of(hit), own) >= WITHIN}
