"""The page's section about what the report doesn't show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from preceptor.domain import Estimate
from preceptor.evaluation.page.models import openings_sentences
from preceptor.evaluation.page.parts import Document, Section, figure, is_estimate, look
from preceptor.evaluation.wording import count, figure_name, percent

FEW_GROUPS, FEW_ROWS = 100, 100


def limits_section(document: Document) -> Section:
    """What wasn't measured, and what the figures can't say."""
    if not (look(document, "models") or look(document, "suites")):
        return Section("limits", "")
    points = [*_unmeasured(document), *_thin(document), *_flattering(document), *_noisy(document)]
    points.append(
        "Other people, other times: the figures hold for texts like those that were measured, not for a new audience or next year's."
    )
    return Section("limits", "What this doesn't show", points=points)


def _unmeasured(document: Document) -> Iterator[str]:
    suites: Mapping[str, Document] = look(document, "suites") or {}
    kinds = {str(suite.get("kind")) for suite in suites.values()}
    if document.get("generation"):  # it writes
        if "faithfulness" not in kinds:
            yield "Hallucination: no suite checked what it says against sources (--suite faithfulness)."
        if "policy" not in kinds:
            yield "Safety and policy: no suite checked what it refuses, and what it must not say (a suite of kind policy)."
    trained = look(document, "models") and look(document, "training", "recipe") != "few_shot"
    if trained and not is_estimate(look(document, "forgetting", "kept")):
        yield "Forgetting: what training left of the base's general knowledge wasn't measured; name texts under [general]."
    for name, suite in suites.items():
        if not any(is_estimate(value) for value in (suite.get("figures") or {}).values()):
            yield f"The suite {name} has no figure yet."
        for metric, hole in (suite.get("not_measured") or {}).items():
            yield f"{figure_name(str(metric))} of the suite {name}: it couldn't be computed for {count(hole.get('rows', 0))} answers."
    if left_out := look(document, "generation", "left_out"):
        yield f"{count(sum(left_out.values()))} test rows that the model can't read weren't measured."


def _thin(document: Document) -> Iterator[str]:
    found = next((each for name in look(document, "models") or {} if (each := _main(document, name))), None)
    if found is not None and found.n < FEW_GROUPS:
        yield f"Few groups: the figures rest on {count(found.n)} independent groups of test rows, which is why their bars are wide."
    for name, suite in (look(document, "suites") or {}).items():
        rows = suite.get("rows")
        if isinstance(rows, int) and 0 < rows < FEW_ROWS:
            yield f"Few prompts: the suite {name} has {count(rows)} answers."
    slices = look(document, "slices") or {}
    if slices and not slices.get("found"):
        yield "Slices: no part of the test rows is large enough to be held against the rest."


def _flattering(document: Document) -> Iterator[str]:
    for sentence in openings_sentences(document):
        yield f"{sentence} These rows are used up a little more each time: fresh ones are worth more than one more model."
    if (name := look(document, "split", "name")) not in (None, "test"):
        yield f"These are {name} rows, by which training chose its weights: the figures flatter, and can let nothing out."
    if seen := look(document, "split", "seen_before"):
        yield f"{count(seen)} of the test rows were trained on by an earlier model of its line."


def _noisy(document: Document) -> Iterator[str]:
    if (decided := look(document, "models", "tuned", "experts")) is not None:
        yield (
            f"People err too: experts decided {count(decided['decided'])} of {count(decided['rows'])} test rows, drawn at random, and "
            f"agree there with the people's consensus in {percent(decided['consensus_agrees'])}. Accuracy is told against the experts, "
            "all other figures against the consensus."
        )
        return
    certainty = look(document, "truth", "certainty")
    if certainty is not None and certainty < 0.995:
        yield (
            f"People err too: the true answers are those of the people's consensus, which holds them for {percent(certainty)} certain on "
            "average. Accuracy is told against them, not against experts (preceptor evaluate MODEL --experts asks them)."
        )


def _main(document: Document, name: str) -> Estimate | None:
    return figure(document, "models", name, "accuracy") or figure(document, "models", name, "exact_match")
