"""Build the report's verdict and its sections about the release, limits, cost, lineage and migration."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.evaluation.number_format import (
    capitalize_first,
    figure_name,
    format_count,
    format_decimal,
    format_duration,
    format_estimate,
    format_interval,
    format_money,
    format_percent,
    format_points,
    format_signed_decimal,
    format_timestamp,
)
from preceptor.reporting.charts import IntervalRow, interval_plot
from preceptor.reporting.model_sections import reuse_sentences
from preceptor.reporting.page_elements import (
    PagePicture,
    PageSection,
    PageTable,
    PageVerdict,
    ReportDocument,
    draw_picture,
    find_estimate,
    is_estimate,
    look_up,
    reported_model,
)
from preceptor.reporting.suite_sections import decisions_table
from preceptor.types import Estimate

GATE_OUTCOMES = {
    "met": ("Good enough: every bound is met", "met"),
    "missed": ("Not good enough: a bound is missed", "missed"),
    "undecided": ("Not proven yet: there is too little evidence to decide", "not enough evidence yet"),
    "unbounded": ("No verdict: no bound says what is good enough", "no bound is set"),
}


def report_verdict(document: ReportDocument) -> PageVerdict:
    """Build the verdict in plain words, from whatever stages are done."""
    state = look_up(document, "release", "decision")
    sentences = list(_verdict_sentences(document))
    bounds = look_up(document, "release", "bounds") or ()
    if state in GATE_OUTCOMES and (bounds or state == "unbounded"):
        lines = [_bound_line(bound) for bound in bounds]
        decided, shown = list(_decision_sentences(document, state)), "plain" if state == "unbounded" else state
        return PageVerdict(shown, _verdict_headline(document, state), sentences, lines, decided)
    if any(find_estimate(document, "models", reported_model(document), name) for name in ("accuracy", "exact_match")):
        return PageVerdict("plain", "The model is measured; no bound was set for its release", sentences)
    if document.get("suites"):
        return PageVerdict("plain", "The answers are measured; no bound decides about them", sentences)
    if find_estimate(document, "consensus", "accuracy") or look_up(document, "judgments", "used") is not None:
        return PageVerdict("plain", "People's answers are in; no model has been measured yet", sentences)
    return PageVerdict("plain", "Nothing has been measured yet", sentences)


def release_section(document: ReportDocument) -> PageSection:
    """Build the section about the gate: each bound with its interval, what would decide an open one, and what was decided."""
    release = look_up(document, "release") or {}
    sentences = [str(release["summary"])] if release.get("summary") else []
    if release.get("by"):
        sentences.append(f"Asked for by {release['by']}.")
    bounds = release.get("bounds") or ()
    pictures = [found for bound in bounds if (found := bound_picture(document, bound))]
    rows = [
        [_bound_figure_name(bound), _bound_threshold(bound), _format_number(bound.get("has")), _bound_outcome(bound)] for bound in bounds
    ]
    table = PageTable("Bounds of the release", ["figure", "its interval must reach", "it reaches", "outcome"], rows, numeric=False)
    tables = [each for each in (table, decisions_table(document)) if each.rows]
    needs = [str(need["summary"]) for need in release.get("needs") or () if need.get("summary")]
    if needs:
        sentences.append("What would settle what is open:")
    return PageSection("release", "May it be released?", [" ".join(sentences)] if sentences else [], pictures, tables, points=needs)


def cost_section(document: ReportDocument) -> PageSection:
    """Build the section about the cost of the judgments and the run."""
    cost = look_up(document, "cost") or {}
    judgments, run = cost.get("judgments") or {}, cost.get("run") or {}
    currency = str(judgments.get("currency") or run.get("currency") or "")
    rows = [row for row in (_judgment_row(judgments, currency), _run_row(run, currency), *_suite_rows(document)) if row]
    table = PageTable("Cost", ["", "quantity", "price", "total"], rows)
    return PageSection("cost", "What it cost", tables=[table] if rows else [])


def lineage_section(document: ReportDocument) -> PageSection:
    """Build the section about where the figures come from, back to the judgments."""
    lineage = look_up(document, "lineage") or {}
    rows = [[key.replace("_", " "), _lineage_value(value)] for key, value in lineage.items() if value is not None]
    table = PageTable("From the model back to the people", ["what", "which"], rows, numeric=False)
    sentences = ["Everything here can be computed again from the judgments; these digests say from which."] if rows else []
    return PageSection("lineage", "Where it comes from", sentences, tables=[table] if rows else [])


def _verdict_sentences(document: ReportDocument) -> Iterator[str]:
    key = reported_model(document)
    if look_up(document, "release", "decision") == "unbounded" and (words := look_up(document, "release", "summary")):
        yield str(words).partition(". ")[2]  # which bound to set: the rest is the headline
    if accuracy := find_estimate(document, "models", key, "accuracy"):
        who = "The fine-tuned model" if key == "tuned" else f"The model ({key.replace('_', ' ')})"
        low, high = (f"{100 * end:.0f}" for end in (accuracy.low, accuracy.high))
        yield f"{who} answers {100 * accuracy.value:.0f} of 100 unseen items as people do (plausibly {low} to {high})."
    elif (same := find_estimate(document, "models", key, "exact_match")) and (words := find_estimate(document, "models", key, "token_f1")):
        low, high = (f"{100 * end:.0f}" for end in (words.low, words.high))
        shared = f"{100 * words.value:.0f} of 100 words with the reference (plausibly {low} to {high})"
        yield f"On unseen items, the model's answers share {shared}; {format_percent(same.value)} are the same text."
    if is_estimate(gain := look_up(document, "comparison", "tuned_minus_base_log_probability")):
        yield _likelihood_gain_sentence(Estimate.from_dict(gain))
    for measure in ("exact_match", "token_f1"):
        if is_estimate(difference := look_up(document, "comparison", f"tuned_minus_hosted_{measure}")):
            yield f"{capitalize_first(figure_name(measure))}: {_comparison_sentence('the hosted model', Estimate.from_dict(difference))}"
    for name in ("zero_shot", "few_shot"):
        if is_estimate(difference := look_up(document, "comparison", f"tuned_minus_{name}")):
            yield _comparison_sentence(_untuned_name(document, name), Estimate.from_dict(difference))
    used, available = look_up(document, "judgments", "used"), look_up(document, "judgments", "available")
    if used is not None and available:
        kept = find_estimate(document, "consensus", "accuracy")
        agreed = f"; the consensus agrees with all of them on {format_estimate(kept)} of the items" if kept else ""
        yield f"It took {format_percent(used / available)} of the available judgments{agreed}."
    for name, suite in (look_up(document, "suites") or {}).items():
        if words := suite.get("summary"):
            yield f"{capitalize_first(str(suite.get('title') or name))}: {words[0]}"


def _verdict_headline(document: ReportDocument, state: str) -> str:
    """Return the gate's outcome and the latest decision, where there is one."""
    decision = str(_last_decision(document).get("decision", ""))
    gate = GATE_OUTCOMES[state][0]
    if decision.startswith("overridden"):
        return "Released against the gate, by somebody's decision"
    if decision.startswith("released without bounds"):
        return "Released without bounds, by somebody's decision"
    if decision.startswith("released"):
        return "Released: every bound is met" if state == "met" else f"Released on an earlier report. {gate}"
    return f"Not released. {gate}" if decision and state != "met" else gate


def _decision_sentences(document: ReportDocument, state: str) -> Iterator[str]:
    """Yield who released the model, and why, where the gate wouldn't have."""
    last = _last_decision(document)
    decision, by = str(last.get("decision", "")), last.get("by") or "somebody"
    if ":" in decision:  # against the gate, or without bounds
        reason = decision.partition(":")[2].strip() or "no reason is on record"
        gate = GATE_OUTCOMES[state][0]
        yield f"{by} let it out on {format_timestamp(last.get('created', ''))}, for this reason: “{reason}”."
        yield f"The gate says: {gate[:1].lower()}{gate[1:]}."
    elif decision.startswith("released"):
        yield f"{by} let it out on {format_timestamp(last.get('created', ''))}."


def _last_decision(document: ReportDocument) -> ReportDocument:
    found: ReportDocument = (look_up(document, "decisions") or [{}])[-1]
    return found


def _bound_line(bound: ReportDocument) -> tuple[str, str, str]:
    """Return (state, its word, sentence) of a bound."""
    state = str(bound.get("state", ""))
    words = re.sub(r"^(met|missed|not enough evidence yet): ", "", str(bound.get("summary", "")))
    named = "" if words.lower().startswith(figure_name(str(bound.get("figure", ""))).lower()) else f"{_bound_figure_name(bound)}: "
    return state, _bound_outcome(bound), f"{named}{capitalize_first(words) if not named else words}"


def _comparison_sentence(other: str, difference: Estimate) -> str:
    low, high = sorted((difference.low, difference.high), key=abs)
    size = f"{abs(100 * difference.value):.1f} points (plausibly {abs(100 * low):.1f} to {abs(100 * high):.1f})"
    if difference.low > 0:
        return f"It beats {other} by {size}."
    if difference.high < 0:
        return f"It falls behind {other} by {size}."
    interval = f"{format_points(difference.value)} points, plausibly {format_points(difference.low)} to {format_points(difference.high)}"
    return f"No difference from {other} is shown: {interval}."


def _likelihood_gain_sentence(difference: Estimate) -> str:
    size = f"by {abs(difference.value):.2f} nats a token (plausibly {format_interval(difference, format_signed_decimal)})"
    if difference.low > 0:
        return f"The references have become more probable than to its base, {size}."
    if difference.high < 0:
        return f"The references have become less probable than to its base, {size}."
    return (
        f"No change from its base in how probable the references are is shown: "
        f"{format_estimate(difference, format_signed_decimal)} nats a token."
    )


def _untuned_name(document: ReportDocument, name: str) -> str:
    tuned, other = (look_up(document, "models", key, "parameters") for key in ("tuned", name))
    size = f"a model {other / tuned:.0f} times its size" if tuned and other and other > 1.5 * tuned else "the model"
    shown = "shown a few examples" if name == "few_shot" else "given instructions only"
    return f"{size} that wasn't fine-tuned, {shown},"


def bound_picture(document: ReportDocument, bound: ReportDocument) -> PagePicture | None:
    """Draw a bound's interval with its threshold; None where it has no interval of its own."""
    name, needs = str(bound.get("figure", "")), bound.get("needs")
    estimate = (
        find_estimate(bound, "estimate")
        or find_estimate(document, "models", reported_model(document), name)
        or find_estimate(document, *name.split("."))
    )
    if estimate is None or needs is None:
        return None
    words = str(bound.get("summary", ""))
    title = f"{_bound_figure_name(bound)}: {_bound_threshold(bound)}"
    row = IntervalRow(f"{format_count(estimate.n)} groups", estimate, strong=True)
    limits = (-math.inf, math.inf)
    return draw_picture(
        capitalize_first(words), interval_plot, title, [row], show=format_decimal, limits=limits, mark=(needs, _bound_threshold(bound))
    )


def _bound_figure_name(bound: ReportDocument) -> str:
    return capitalize_first(figure_name(str(bound.get("figure", ""))))


def _bound_threshold(bound: ReportDocument) -> str:
    words = "at most" if "<" in str(bound.get("bound", "")) else "at least"
    return f"{words} {_format_number(bound.get('needs'))}" if bound.get("needs") is not None else str(bound.get("bound", ""))


def _bound_outcome(bound: ReportDocument) -> str:
    state = str(bound.get("state", ""))
    return GATE_OUTCOMES[state][1] if state in GATE_OUTCOMES else state


def _format_number(value: Any) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, int | float) else "–" if value is None else str(value)


def _judgment_row(judgments: ReportDocument, currency: str) -> list[str]:
    if judgments.get("used") is None:
        return []
    price, total = judgments.get("price_each"), judgments.get("total")
    each = f"{format_money(price, currency)} each" if price is not None else "–"
    return ["judgments", format_count(judgments["used"]), each, format_money(total, currency) if total is not None else "–"]


def _run_row(run: ReportDocument, currency: str) -> list[str]:
    if run.get("seconds") is None:
        return []
    price, total = run.get("price_per_hour"), run.get("total")
    hourly = f"{format_money(price, currency)} an hour" if price is not None else "–"
    return ["computing", format_duration(run["seconds"]), hourly, format_money(total, currency) if total is not None else "–"]


def _suite_rows(document: ReportDocument) -> Iterator[list[str]]:
    """Yield the cost of people's checks of each suite, with what they would have cost without a judge."""
    for name, suite in (look_up(document, "suites") or {}).items():
        cost = suite.get("cost") or {}
        if cost.get("judgments") is None or cost.get("spent") is None:
            continue
        currency = str(cost.get("currency", ""))
        alone = f"{format_money(cost['people_alone'], currency)} without the judge" if cost.get("people_alone") is not None else "–"
        yield [f"checks of {name}", format_count(cost["judgments"]), alone, format_money(cost["spent"], currency)]


def _lineage_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_lineage_value(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_lineage_value(part) for part in value)
    return format_count(value) if isinstance(value, int) else str(value)


FEW_GROUPS, FEW_ROWS = 100, 100


def limits_section(document: ReportDocument) -> PageSection:
    """Build the section about what wasn't measured, and what the figures can't show."""
    if not (look_up(document, "models") or look_up(document, "suites")):
        return PageSection("limits", "")
    points = [*_unmeasured_points(document), *_small_sample_points(document), *_optimism_points(document), *_label_noise_points(document)]
    points.append(
        "Other people, other times: the figures hold for texts like those that were measured, not for a new audience or next year's."
    )
    return PageSection("limits", "What this doesn't show", points=points)


def _unmeasured_points(document: ReportDocument) -> Iterator[str]:
    suites: Mapping[str, ReportDocument] = look_up(document, "suites") or {}
    kinds = {str(suite.get("kind")) for suite in suites.values()}
    if document.get("generation"):  # a generative model
        if "faithfulness" not in kinds:
            yield "Hallucination: no suite checked what it says against sources (--suite faithfulness)."
        if "policy" not in kinds:
            yield "Safety and policy: no suite checked what it refuses, and what it must not say (a suite of kind policy)."
    trained = look_up(document, "models") and look_up(document, "training", "recipe") != "in_context"
    if trained and not is_estimate(look_up(document, "forgetting", "kept")):
        yield "Forgetting: what training left of the base's general knowledge wasn't measured; name texts under [forgetting]."
    for name, suite in suites.items():
        if not any(is_estimate(value) for value in (suite.get("figures") or {}).values()):
            yield f"The suite {name} has no figure yet."
        for metric, hole in (suite.get("not_measured") or {}).items():
            yield (
                f"{figure_name(str(metric))} of the suite {name}: it couldn't be computed for {format_count(hole.get('rows', 0))} answers."
            )
    if left_out := look_up(document, "generation", "left_out"):
        yield f"{format_count(sum(left_out.values()))} test rows that the model can't read weren't measured."


def _small_sample_points(document: ReportDocument) -> Iterator[str]:
    found = next((each for name in look_up(document, "models") or {} if (each := _main_estimate(document, name))), None)
    if found is not None and found.n < FEW_GROUPS:
        yield f"Few groups: the figures rest on {format_count(found.n)} independent groups of test rows, which is why their bars are wide."
    for name, suite in (look_up(document, "suites") or {}).items():
        rows = suite.get("rows")
        if isinstance(rows, int) and 0 < rows < FEW_ROWS:
            yield f"Few prompts: the suite {name} has {format_count(rows)} answers."
    slices = look_up(document, "slices") or {}
    if slices and not slices.get("found"):
        yield "Slices: no part of the test rows is large enough to be held against the rest."


def _optimism_points(document: ReportDocument) -> Iterator[str]:
    for sentence in reuse_sentences(document):
        yield f"{sentence} These rows are used up a little more each time: fresh ones are worth more than one more model."
    if (name := look_up(document, "split", "name")) not in (None, "test"):
        yield f"These are {name} rows, by which training chose its weights: the figures flatter, and can let nothing out."
    if seen := look_up(document, "split", "seen_before"):
        yield f"{format_count(seen)} of the test rows were trained on by an earlier model of its line."


def _label_noise_points(document: ReportDocument) -> Iterator[str]:
    if (decided := look_up(document, "models", "tuned", "experts")) is not None:
        yield (
            f"People err too: experts decided {format_count(decided['decided'])} of {format_count(decided['rows'])} "
            f"test rows, drawn at random, and "
            f"agree there with the people's consensus in {format_percent(decided['consensus_agrees'])}. Accuracy is "
            f"told against the experts, "
            "all other figures against the consensus."
        )
        return
    certainty = look_up(document, "truth", "certainty")
    if certainty is not None and certainty < 0.995:
        yield (
            f"People err too: the true answers are those of the people's consensus, which holds them for "
            f"{format_percent(certainty)} certain on "
            "average. Accuracy is told against them, not against experts (preceptor evaluate MODEL --adjudicate asks them)."
        )


def _main_estimate(document: ReportDocument, name: str) -> Estimate | None:
    return find_estimate(document, "models", name, "accuracy") or find_estimate(document, "models", name, "exact_match")


def migration_section(document: ReportDocument) -> PageSection:
    """Build the section about the migration from the hosted model to its successor."""
    moved = look_up(document, "migration") or {}
    if not moved:
        return PageSection("migration", "")
    paragraphs = [" ".join(_migration_sentences(moved)), *map(str, moved.get("summary") or ())]
    tables = [
        table
        for table in (_variants_table(moved), _latency_table(document), _monthly_cost_table(moved), _code_lines_table(moved))
        if table.rows
    ]
    return PageSection("migration", "From the hosted model to its successor", [words for words in paragraphs if words], tables=tables)


def _migration_sentences(moved: ReportDocument) -> Iterator[str]:
    rows = moved.get("rows") or {}
    train, validation, test = (format_count(rows.get(split, 0)) for split in ("train", "validation", "test"))
    yield f"{train} rows are trained on, {validation} choose, {test} measure."
    if left_out := rows.get("left_out"):
        yield (
            f"Left out, since they can't be learnt here: "
            f"{'; '.join(f'{format_count(number)} × {why}' for why, number in left_out.items())}."
        )
    if teacher := moved.get("teacher"):
        paid = format_money(teacher["paid"], "USD")
        yield f"{moved.get('hosted')} gave {format_count(teacher['answers'])} answers, for {paid}."
        if teacher.get("again"):
            yield (
                f"{format_count(teacher['again'])} of them may be paid twice: the service keeps no answers, and a process ended meanwhile."
            )
    if is_estimate(people := look_up(moved, "people")):
        share = format_estimate(Estimate.from_dict(people))
        yield f"People who saw both answers side by side, without knowing whose they are, preferred the new one in {share}."
    elif asked := moved.get("asked"):
        yield f"{format_count(asked)} pairs of answers wait for people's judgment: preceptor serve, and invite them."


def _variants_table(moved: ReportDocument) -> PageTable:
    rows = [
        [
            str(each["train_on"]),
            str(each["model"]),
            format_estimate(Estimate.from_dict(each["score"])),
            "taken" if each.get("taken") else "",
        ]
        for each in moved.get("variants") or ()
    ]
    return PageTable("What was trained, and how good it is on validation rows", ["trained on", "model", "score", ""], rows, numeric=False)


def _latency_table(document: ReportDocument) -> PageTable:
    rows = []
    for name, key in (("successor, on this machine", "tuned"), ("hosted", "hosted")):
        if is_estimate(found := look_up(document, "models", key, "latency")):
            rows.append([name, format_estimate(Estimate.from_dict(found), format_decimal)])
    if is_estimate(found := look_up(document, "comparison", "tuned_minus_hosted_latency")):
        rows.append(["difference, on the same questions", format_estimate(Estimate.from_dict(found), format_signed_decimal)])
    return PageTable("Seconds an answer", ["", "mean"], rows)


def _monthly_cost_table(moved: ReportDocument) -> PageTable:
    month: Any = moved.get("month") or {}
    rows = [
        [name, format_estimate(Estimate.from_dict(month[key]), lambda dollars: format_money(dollars, "USD"))]
        for name, key in (("hosted", "hosted"), ("successor, machines kept up all month", "successor"))
        if is_estimate(month.get(key))
    ]
    return PageTable(f"A month of {format_count(month.get('requests', 0))} requests", ["", "cost"], rows)


def _code_lines_table(moved: ReportDocument) -> PageTable:
    names = ("base_url", "api_key", "model")
    rows = [[name, str(line)] for name, line in zip(names, moved.get("lines") or (), strict=False)]
    return PageTable("What your code changes", ["", "line"], rows, numeric=False)
