"""The page's first and last words: the verdict, the release, the cost and the lineage."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.domain import Estimate
from preceptor.evaluation.page.models import subject
from preceptor.evaluation.page.parts import Document, Picture, Section, Table, Verdict, figure, is_estimate, look, picture
from preceptor.evaluation.page.slices import decisions_table
from preceptor.evaluation.plots import Row, interval_plot
from preceptor.evaluation.wording import (
    count,
    decimal,
    duration,
    figure_name,
    interval,
    moment,
    money,
    percent,
    points,
    sentence,
    signed_decimal,
    spread,
)

OUTCOMES = {
    "met": ("Good enough: every bound is met", "met"),
    "missed": ("Not good enough: a bound is missed", "missed"),
    "undecided": ("Not proven yet: there is too little evidence to decide", "not enough evidence yet"),
    "unbounded": ("No verdict: no bound says what is good enough", "no bound is set"),
}


def verdict(document: Document) -> Verdict:
    """The answer in plain words, from whatever stages are done."""
    state = look(document, "release", "decision")
    sentences = list(_verdict_sentences(document))
    bounds = look(document, "release", "bounds") or ()
    if state in OUTCOMES and (bounds or state == "unbounded"):
        lines = [_bound_line(bound) for bound in bounds]
        decided, shown = list(_decided(document, state)), "plain" if state == "unbounded" else state
        return Verdict(shown, _headline(document, state), sentences, lines, decided)
    if any(figure(document, "models", subject(document), name) for name in ("accuracy", "exact_match")):
        return Verdict("plain", "The model is measured; no bound was set for its release", sentences)
    if document.get("suites"):
        return Verdict("plain", "The answers are measured; no bound decides about them", sentences)
    if figure(document, "consensus", "accuracy") or look(document, "judgments", "used") is not None:
        return Verdict("plain", "People's answers are in; no model has been measured yet", sentences)
    return Verdict("plain", "Nothing has been measured yet", sentences)


def release_section(document: Document) -> Section:
    """The gate: each bound beside its interval, what would settle an open one, and what was decided."""
    release = look(document, "release") or {}
    sentences = [str(release["words"])] if release.get("words") else []
    if release.get("by"):
        sentences.append(f"Asked for by {release['by']}.")
    bounds = release.get("bounds") or ()
    pictures = [found for bound in bounds if (found := bound_picture(document, bound))]
    rows = [[_figure_name(bound), _needs(bound), _number(bound.get("has")), _outcome(bound)] for bound in bounds]
    table = Table("Bounds of the release", ["figure", "its interval must reach", "it reaches", "outcome"], rows, numeric=False)
    tables = [each for each in (table, decisions_table(document)) if each.rows]
    needs = [str(need["words"]) for need in release.get("needs") or () if need.get("words")]
    if needs:
        sentences.append("What would settle what is open:")
    return Section("release", "May it be released?", [" ".join(sentences)] if sentences else [], pictures, tables, points=needs)


def cost_section(document: Document) -> Section:
    """What the judgments and the run cost."""
    cost = look(document, "cost") or {}
    judgments, run = cost.get("judgments") or {}, cost.get("run") or {}
    currency = str(judgments.get("currency") or run.get("currency") or "")
    rows = [row for row in (_judgment_row(judgments, currency), _run_row(run, currency), *_suite_rows(document)) if row]
    sentences = []
    if judgments.get("saved_against_all"):
        sentences.append(f"Not asking for every available judgment saved {money(judgments['saved_against_all'], currency)}.")
    table = Table("Cost", ["", "quantity", "price", "total"], rows)
    return Section("cost", "What it cost", sentences, tables=[table] if rows else [])


def lineage_section(document: Document) -> Section:
    """Where the figures come from, back to the judgments."""
    lineage = look(document, "lineage") or {}
    rows = [[key.replace("_", " "), _traced(value)] for key, value in lineage.items() if value is not None]
    table = Table("From the model back to the people", ["what", "which"], rows, numeric=False)
    sentences = ["Everything here can be computed again from the judgments; these digests say from which."] if rows else []
    return Section("lineage", "Where it comes from", sentences, tables=[table] if rows else [])


def _verdict_sentences(document: Document) -> Iterator[str]:
    key = subject(document)
    if look(document, "release", "decision") == "unbounded" and (words := look(document, "release", "words")):
        yield str(words).partition(". ")[2]  # what to set: the rest is the headline
    if accuracy := figure(document, "models", key, "accuracy"):
        who = "The fine-tuned model" if key == "tuned" else f"The model ({key.replace('_', ' ')})"
        low, high = (f"{100 * end:.0f}" for end in (accuracy.low, accuracy.high))
        yield f"{who} answers {100 * accuracy.value:.0f} of 100 unseen items as people do (plausibly {low} to {high})."
    elif (same := figure(document, "models", key, "exact_match")) and (words := figure(document, "models", key, "token_f1")):
        low, high = (f"{100 * end:.0f}" for end in (words.low, words.high))
        shared = f"{100 * words.value:.0f} of 100 words with the reference (plausibly {low} to {high})"
        yield f"On unseen items, the model's answers share {shared}; {percent(same.value)} are the same text."
    if is_estimate(gain := look(document, "comparison", "tuned_minus_base_log_probability")):
        yield _gained(Estimate.of(gain))
    for measure in ("exact_match", "token_f1"):
        if is_estimate(difference := look(document, "comparison", f"tuned_minus_hosted_{measure}")):
            yield f"{sentence(figure_name(measure))}: {_comparison('the hosted model', Estimate.of(difference))}"
    for name in ("zero_shot", "few_shot"):
        if is_estimate(difference := look(document, "comparison", f"tuned_minus_{name}")):
            yield _comparison(_untuned(document, name), Estimate.of(difference))
    used, available = look(document, "judgments", "used"), look(document, "judgments", "available")
    if used is not None and available:
        kept = figure(document, "consensus", "accuracy")
        agreed = f"; the consensus agrees with all of them on {spread(kept)} of the items" if kept else ""
        yield f"It took {percent(used / available)} of the available judgments{agreed}."
    for name, suite in (look(document, "suites") or {}).items():
        if words := suite.get("words"):
            yield f"{sentence(str(suite.get('title') or name))}: {words[0]}"


def _headline(document: Document, state: str) -> str:
    """What the gate says, and what was decided last, where somebody has."""
    decision = str(_last_decision(document).get("decision", ""))
    gate = OUTCOMES[state][0]
    if decision.startswith("overridden"):
        return "Released against the gate, by somebody's decision"
    if decision.startswith("released without bounds"):
        return "Released without bounds, by somebody's decision"
    if decision.startswith("released"):
        return "Released: every bound is met" if state == "met" else f"Released on an earlier report. {gate}"
    return f"Not released. {gate}" if decision and state != "met" else gate


def _decided(document: Document, state: str) -> Iterator[str]:
    """Who let it out, and why, where the gate wouldn't have."""
    last = _last_decision(document)
    decision, by = str(last.get("decision", "")), last.get("by") or "somebody"
    if ":" in decision:  # against the gate, or without bounds
        reason = decision.partition(":")[2].strip() or "no reason is on record"
        gate = OUTCOMES[state][0]
        yield f"{by} let it out on {moment(last.get('created', ''))}, for this reason: “{reason}”."
        yield f"The gate says: {gate[:1].lower()}{gate[1:]}."
    elif decision.startswith("released"):
        yield f"{by} let it out on {moment(last.get('created', ''))}."


def _last_decision(document: Document) -> Document:
    found: Document = (look(document, "decisions") or [{}])[-1]
    return found


def _bound_line(bound: Document) -> tuple[str, str, str]:
    """(state, its word, sentence) of a bound."""
    state = str(bound.get("state", ""))
    words = re.sub(r"^(met|missed|not enough evidence yet): ", "", str(bound.get("words", "")))
    named = "" if words.lower().startswith(figure_name(str(bound.get("figure", ""))).lower()) else f"{_figure_name(bound)}: "
    return state, _outcome(bound), f"{named}{sentence(words) if not named else words}"


def _comparison(other: str, difference: Estimate) -> str:
    low, high = sorted((difference.low, difference.high), key=abs)
    size = f"{abs(100 * difference.value):.1f} points (plausibly {abs(100 * low):.1f} to {abs(100 * high):.1f})"
    if difference.low > 0:
        return f"It beats {other} by {size}."
    if difference.high < 0:
        return f"It falls behind {other} by {size}."
    interval = f"{points(difference.value)} points, plausibly {points(difference.low)} to {points(difference.high)}"
    return f"No difference from {other} is shown: {interval}."


def _gained(difference: Estimate) -> str:
    size = f"by {abs(difference.value):.2f} nats a token (plausibly {interval(difference, signed_decimal)})"
    if difference.low > 0:
        return f"The references have become more probable than to its base, {size}."
    if difference.high < 0:
        return f"The references have become less probable than to its base, {size}."
    return f"No change from its base in how probable the references are is shown: {spread(difference, signed_decimal)} nats a token."


def _untuned(document: Document, name: str) -> str:
    tuned, other = (look(document, "models", key, "parameters") for key in ("tuned", name))
    size = f"a model {other / tuned:.0f} times its size" if tuned and other and other > 1.5 * tuned else "the model"
    shown = "shown a few examples" if name == "few_shot" else "given instructions only"
    return f"{size} that wasn't fine-tuned, {shown},"


def bound_picture(document: Document, bound: Document) -> Picture | None:
    """A bound's interval with its threshold; None where it has no interval of its own."""
    name, needs = str(bound.get("figure", "")), bound.get("needs")
    estimate = figure(bound, "estimate") or figure(document, "models", subject(document), name) or figure(document, *name.split("."))
    if estimate is None or needs is None:
        return None
    words = str(bound.get("words", ""))
    title = f"{_figure_name(bound)}: {_needs(bound)}"
    row = Row(f"{count(estimate.n)} groups", estimate, strong=True)
    limits = (-math.inf, math.inf)
    return picture(sentence(words), interval_plot, title, [row], show=decimal, limits=limits, mark=(needs, _needs(bound)))


def _figure_name(bound: Document) -> str:
    return sentence(figure_name(str(bound.get("figure", ""))))


def _needs(bound: Document) -> str:
    words = "at most" if "<" in str(bound.get("bound", "")) else "at least"
    return f"{words} {_number(bound.get('needs'))}" if bound.get("needs") is not None else str(bound.get("bound", ""))


def _outcome(bound: Document) -> str:
    state = str(bound.get("state", ""))
    return OUTCOMES[state][1] if state in OUTCOMES else state


def _number(value: Any) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, int | float) else "–" if value is None else str(value)


def _judgment_row(judgments: Document, currency: str) -> list[str]:
    if judgments.get("used") is None:
        return []
    price, total = judgments.get("price_each"), judgments.get("total")
    each = f"{money(price, currency)} each" if price is not None else "–"
    return ["judgments", count(judgments["used"]), each, money(total, currency) if total is not None else "–"]


def _run_row(run: Document, currency: str) -> list[str]:
    if run.get("seconds") is None:
        return []
    price, total = run.get("price_per_hour"), run.get("total")
    hourly = f"{money(price, currency)} an hour" if price is not None else "–"
    return ["computing", duration(run["seconds"]), hourly, money(total, currency) if total is not None else "–"]


def _suite_rows(document: Document) -> Iterator[list[str]]:
    """What people's checks of each suite cost, beside what they would have without a judge."""
    for name, suite in (look(document, "suites") or {}).items():
        cost = suite.get("cost") or {}
        if cost.get("judgments") is None or cost.get("spent") is None:
            continue
        currency = str(cost.get("currency", ""))
        alone = f"{money(cost['people_alone'], currency)} without the judge" if cost.get("people_alone") is not None else "–"
        yield [f"checks of {name}", count(cost["judgments"]), alone, money(cost["spent"], currency)]


def _traced(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_traced(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_traced(part) for part in value)
    return count(value) if isinstance(value, int) else str(value)
