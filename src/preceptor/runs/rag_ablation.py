"""Measure base and fine-tuned model, each with and without retrieved sources.

The sources are what the project's search finds; where it has no documents, each question's own. The fine-tuned model without sources is the
newest `sft` model of the same base and snapshot, which never saw a source, or else the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.documents.grounding import DEFAULT_SOURCES, DocumentGrounding, GroundedConversation, load_chat_tokenizer
from preceptor.errors import UserError
from preceptor.evaluation.metrics.metric import named_metrics
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.evaluation.suites import EvaluationSuite
from preceptor.evaluation.suites.generation import measure_metrics
from preceptor.evaluation.suites.rag_ablation import CONDITION_NAMES, RagCondition, rag_ablation_section
from preceptor.model_ancestry import find_recorded_base
from preceptor.retrieval import SearchHit
from preceptor.retrieval.citations import CITATION_MARKER, count_citations
from preceptor.retrieval.grounded_prompt import GroundingSource, insert_sources
from preceptor.runs import suite_answers
from preceptor.runs.suite_answers import SuiteSubject, find_subject
from preceptor.storage import artifacts
from preceptor.types import Model

if TYPE_CHECKING:
    from preceptor.project import Project


ConditionProgress = Callable[[str], Callable[[int, int], None] | None]


def measure_rag_ablation(
    project: Project, suite: EvaluationSuite, subject: SuiteSubject, asked: Sequence[SuitePrompt], progress: ConditionProgress
) -> dict[str, Any]:
    """Measure the answers in each condition (base, tuned, rag, both) and return the report section.

    Questions that can't be read in every condition are left out and reported. Raises UserError for questions without a reference, and where
    there are no sources for any question.
    """
    subjects = find_condition_subjects(project, subject)
    grounding = DocumentGrounding(project)
    told = {
        name: _answer_condition(
            project, suite, who, asked, grounding if name in ("rag", "both") else None, progress(f"{suite.name}: {name}")
        )
        for name, who in subjects.items()
    }
    readable = [at for at in range(len(asked)) if all(asked[at].id in each.texts for each in told.values())]
    if not readable:
        raise UserError("no question can be read in each of the ways", "they are longer than the model reads, with their sources")
    kept = [asked[at] for at in readable]
    metric = next(iter(named_metrics(suite.metrics)))
    found = rag_ablation_section(
        {name: _rag_condition(suite, kept, each, grounding) for name, each in told.items()},
        ids=[each.id for each in kept], prompts=[each.prompt for each in kept], references=[each.reference for each in kept],
        groups=[each.group for each in kept], title=suite.title, metric=metric,
    )  # fmt: skip
    found["subjects"] = {name: who.name for name, who in subjects.items()}
    left = [each.id for at, each in enumerate(asked) if at not in set(readable)]
    return found | ({"unreadable_prompts": {"prompts": len(left), "first": left[:5]}} if left else {})


def find_condition_subjects(project: Project, subject: SuiteSubject) -> dict[str, SuiteSubject]:
    """Return the model of each condition; conditions with the base are left out where it isn't available."""
    from preceptor.models.atomic_folder import weights_digest

    if subject.model is None:
        raise UserError(f"{subject.name} isn't a model that was trained here", "name a model's id: its base is known then")
    folder = find_recorded_base(project, subject.model, None)
    base = None if folder is None else SuiteSubject(str(subject.model.manifest["base"]), weights_digest(folder), folder)
    tuned = _find_sft_sibling(project, subject.model)
    there = {"base": base, "tuned": find_subject(project, tuned) if tuned else subject, "rag": base, "both": subject}
    return {name: who for name in CONDITION_NAMES if (who := there[name]) is not None}


def _find_sft_sibling(project: Project, model: Model) -> Model | None:
    """Return the newest `sft` model of the same base and snapshot; None where the model is one itself, or there is none."""
    same = ("base_weights", "snapshot")
    if model.manifest["recipe"] == "sft":
        return None
    with project.database.reading() as connection:
        ids = [row["id"] for row in artifacts.list_models(connection)]
    for id_ in reversed(ids):
        other = project.model(id_)
        if other.manifest["recipe"] == "sft" and all(other.manifest.get(part) == model.manifest[part] for part in same):
            return other
    return None


@dataclass(frozen=True)
class _ConditionAnswers:
    """The answers in one condition by the questions' ids, and the grounded conversations, if any."""

    texts: Mapping[str, str]
    conversations: Mapping[str, GroundedConversation]


def _answer_condition(
    project: Project,
    suite: EvaluationSuite,
    who: SuiteSubject,
    asked: Sequence[SuitePrompt],
    grounding: DocumentGrounding | None,
    progress: Any,
) -> _ConditionAnswers:
    grounded: dict[str, GroundedConversation] = {}
    read = list(asked)
    if grounding is not None:
        grounded = _ground_prompts(project, grounding, who, asked, suite.max_tokens)
        read = [replace(each, turns=tuple(grounded[each.id].messages)) for each in asked]
    answers, _ = suite_answers.generate_answers(project, who, read, max_tokens=suite.max_tokens, progress=progress)
    return _ConditionAnswers(dict(zip((each.id for each in answers.prompts), answers.texts, strict=True)), grounded)


def _ground_prompts(
    project: Project, grounding: DocumentGrounding, who: SuiteSubject, asked: Sequence[SuitePrompt], answer_tokens: int
) -> dict[str, GroundedConversation]:
    chat = load_chat_tokenizer(who.folder)
    if grounding.has_documents:
        return {each.id: grounding.ground(each.turns, k=DEFAULT_SOURCES, chat=chat, answer_tokens=answer_tokens) for each in asked}
    if not any(each.sources for each in asked):
        raise UserError("there are no sources to answer from", "add documents: preceptor documents add FILE, or give questions sources")
    return {each.id: _ground_in_own_sources(each, chat.special_tokens, grounding) for each in asked}


def _ground_in_own_sources(asked: SuitePrompt, special: Any, grounding: DocumentGrounding) -> GroundedConversation:
    """Ground a question in the sources that it came with."""
    hits = [SearchHit(f"source {at}", 1, at, 0, len(text), text, "", 1.0, {}) for at, text in enumerate(asked.sources, start=1)]
    return GroundedConversation(
        insert_sources(asked.turns, [GroundingSource(hit.text) for hit in hits], special), tuple(hits), grounding.support
    )


def _rag_condition(
    suite: EvaluationSuite, asked: Sequence[SuitePrompt], told: _ConditionAnswers, grounding: DocumentGrounding
) -> RagCondition:
    from preceptor.training.raft_sources import strip_citation

    texts = [told.texts[each.id] for each in asked]
    plain = suite_answers.build_answers("", asked, [strip_citation(text) for text in texts], {})
    name, found = next(iter(measure_metrics(plain, named_metrics(suite.metrics)).items()))
    if found.figure is not None:
        raise UserError(f"{name} is a figure of all answers together, and says of none how right it is", 'metrics = ["exact_match"]')
    right = np.asarray(found.columns[:, 0], dtype=np.float64)
    if not told.conversations:
        return RagCondition(texts, right)
    hits = [told.conversations[each.id].hits for each in asked]
    golden = [_golden_sources(each, of) for each, of in zip(asked, hits, strict=True)]
    cites = [{int(number) for number in CITATION_MARKER.findall(text)} for text in texts]
    return RagCondition(
        texts,
        right,
        [count_citations(text, of, grounding.support) for text, of in zip(texts, hits, strict=True)],
        np.array([np.nan if each is None else float(bool(each)) for each in golden]),
        np.array([np.nan if each is None else float(bool(each & number)) for each, number in zip(golden, cites, strict=True)]),
    )


def _golden_sources(asked: SuitePrompt, hits: Sequence[SearchHit]) -> set[int] | None:
    """Return the numbers of the sources that are parts of the question's own sources; None where it has none."""
    from preceptor.training.raft_sources import MIN_PIECE_OVERLAP, word_overlap

    if not asked.sources:
        return None
    own = [GroundingSource(text) for text in asked.sources]
    return {number for number, hit in enumerate(hits, start=1) if word_overlap(GroundingSource.from_hit(hit), own) >= MIN_PIECE_OVERLAP}
