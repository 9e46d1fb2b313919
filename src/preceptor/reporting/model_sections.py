"""Build the report's sections about model quality, errors, training and the learning curve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from preceptor.evaluation.number_format import (
    NumberFormat,
    capitalize_first,
    figure_name,
    format_confidence,
    format_count,
    format_decimal,
    format_duration,
    format_estimate,
    format_interval,
    format_percent,
    format_points,
    format_signed_decimal,
    format_times,
    format_whole_percent,
)
from preceptor.reporting.charts import (
    LEARNING_RATE_CHART_TITLE,
    LOSS_CHART_TITLE,
    IntervalRow,
    LineSeries,
    confusion_heatmap,
    interval_plot,
    learning_rate_chart,
    line_chart,
    loss_curve_chart,
    reliability_diagram,
)
from preceptor.reporting.page_elements import (
    METRIC_DISPLAYS,
    GenerationExample,
    ItemExample,
    PagePicture,
    PageSection,
    PageTable,
    ReportDocument,
    TokenizedRow,
    draw_picture,
    find_estimate,
    is_estimate,
    look_up,
    reported_model,
)
from preceptor.types import Estimate

_MAX_TOKENS = 300  # the last tokens of a row, which are shown


def generation_sentences(document: ReportDocument) -> Iterator[str]:
    """Yield how answers were generated, what was left out, and that parity holds."""
    generation = look_up(document, "generation") or {}
    if most := generation.get("max_tokens"):
        cut = look_up(generation, "cut", "tuned") or 0
        ran = f"{format_count(cut)} of {format_count(generation.get('rows', 0))} ran into that limit" if cut else "none ran into that limit"
        yield (
            f"Answers are the most probable token each time, as served, and at most {format_count(most)} tokens long, "
            f"{format_times(generation.get('room', 2))} the longest reference: {ran}."
        )
    if left_out := generation.get("left_out"):
        told = "; ".join(f"{format_count(number)} × {reason}" for reason, number in left_out.items())
        yield f"Rows that could not be measured: {told}."
    if generation.get("labels"):
        yield f"The completions are {format_count(generation['labels'])} labels, so that accuracy and macro-F1 can be told."
    if generation and not generation.get("base"):
        yield "Its base was not at hand (--base DIR), so nothing stands beside it."
    yield from _parity_sentences(look_up(document, "parity") or {}, "tokens" if generation else "answers")


def generation_example(example: ReportDocument, names: Mapping[str, str]) -> GenerationExample:
    """Build the example of one row: the prompt, the reference, and each model's answer under its name."""
    answers = [(names.get(str(key), str(key)), _drop_empty_lines(str(text))) for key, text in (example.get("answers") or {}).items()]
    f1, probability = example.get("token_f1"), example.get("log_probability")
    parts = ["The same text." if example.get("exact_match") else "" if f1 is None else f"Word F1 {f1:.2f}."]
    parts.append("" if probability is None else f"{format_decimal(probability)} nats a token of the reference.")
    return GenerationExample(
        str(example.get("prompt", "")), str(example.get("reference", "")), answers, " ".join(part for part in parts if part)
    )


def tokenized_rows(training: ReportDocument) -> list[TokenizedRow]:
    """Build the rows as they were trained on, token by token; of a long one the end, which holds the answer."""
    rows = []
    for row in training.get("rendered") or ():
        tokens = [(_visible_line_ends(str(token.get("text", ""))), bool(token.get("learnt"))) for token in row.get("tokens") or ()]
        rows.append(TokenizedRow(str(row.get("id", "")), tokens[-_MAX_TOKENS:], max(0, len(tokens) - _MAX_TOKENS)))
    return rows


def tokenized_rows_sentences(training: ReportDocument) -> Iterator[str]:
    """Yield how to read the rows that are shown."""
    rows: Sequence[Any] = training.get("rendered") or ()
    if rows:
        yield "Below, a few rows as they were trained on: the marked tokens are learnt, the others only read."


def excluded_rows_table(training: ReportDocument) -> PageTable:
    """Build the table of how many rows were trained on and left out, by reason; of a generative model also where none was."""
    rows, left_out = training.get("rows") or {}, training.get("left_out") or {}
    body = []
    if training.get("rendered") or left_out:
        for split, used in rows.items():
            reasons = left_out.get(split) or {}
            told = "; ".join(f"{format_count(number)} × {reason}" for reason, number in sorted(reasons.items())) or "–"
            body.append([str(split), format_count(used), format_count(sum(reasons.values())), told])
    return PageTable("Rows that were learnt from, and those left out", ["split", "used", "left out", "why"], body, numeric=False)


def _parity_sentences(parity: ReportDocument, what: str) -> Iterator[str]:
    stages = [stage for stage in parity.get("stages") or () if stage.get("dtype") == "float32" and stage.get("difference") is not None]
    if stages:
        names = ", ".join(str(stage.get("stage")) for stage in stages)
        apart = max(stage["difference"] for stage in stages)
        yield (
            f"Parity holds: {names}, it gives the {what} of {format_count(parity.get('rows', 0))} validation rows the log-probabilities "
            f"that it had when it was trained, to within {apart:.1g} nats."
        )


def _drop_empty_lines(text: str) -> str:
    """Return a text without the empty lines that a model may generate by the dozen."""
    return "\n".join(line for line in text.splitlines() if line.strip())


def _visible_line_ends(token: str) -> str:
    """Return a token with its line ends made visible."""
    return token.replace("\n", "↵\n")


MODEL_NAMES = {
    "tuned": "Fine-tuned",
    "tuned_hard_labels": "Fine-tuned, hard labels",
    "few_shot": "Un-tuned, few-shot",
    "zero_shot": "Un-tuned, zero-shot",
    "base": "Base model",
    "hosted": "Hosted model",
    "commonest": "Always the commonest answer",
}


_IN_NATS = ("log_loss", "log_probability")
_NO_SHARES = (*_IN_NATS, "latency")


def quality_section(document: ReportDocument) -> PageSection:
    """Build the section with each figure of each model and its interval, and the differences between models."""
    models = look_up(document, "models") or {}
    labelled = any(find_estimate(models, name, "accuracy") for name in models)  # then exact_match would repeat it
    pictures = [found for key in METRIC_DISPLAYS if not (labelled and key == "exact_match") and (found := _figure_picture(models, key))]
    pictures += _label_pictures(models)
    sentences = []
    if tested := next(
        (
            estimate
            for name in models
            if (estimate := find_estimate(models, name, "accuracy") or find_estimate(models, name, "exact_match"))
        ),
        None,
    ):
        seen = look_up(document, "split", "seen_before")
        which = (
            f"test items, {format_count(seen)} of which an earlier model of its line was trained on"
            if seen
            else "test items that no training touched"
        )
        sentences.append(
            f"All figures are measured on {which}, from {format_count(tested.n)} groups. The bar around each dot "
            f"is its {format_whole_percent(tested.confidence)} interval: drawing such groups anew, it would hold the true value "
            f"{100 * tested.confidence:.0f} times in 100."
        )
    sentences.extend(reuse_sentences(document))
    if differences := _difference_picture(document):
        sentences.append("A difference is beyond chance where its bar stays on one side of the line at zero.")
        pictures.append(differences)
    tables = [_figure_table(models)] if pictures and models else []
    paragraphs = [*_as_paragraphs(sentences), *_as_paragraphs(generation_sentences(document))]
    return PageSection("quality", "How good the model is", paragraphs, pictures, tables)


def errors_section(document: ReportDocument) -> PageSection:
    """Build the section about where the model goes wrong: confusion, calibration and single items."""
    model = look_up(document, "models", reported_model(document)) or {}
    pictures = []
    if counts := look_up(model, "confusion", "counts"):
        answers = [str(answer) for answer in model["confusion"]["answers"]]
        caption = "Rows are what people answered, columns what the model answered; the diagonal is agreement."
        pictures.append(draw_picture(caption, confusion_heatmap, "Confusion of answers", answers, counts, rows="people", columns="model"))
    if bins := [(at["confidence"], at["accuracy"], at["count"]) for at in model.get("reliability") or () if at["count"]]:
        caption = "Dots on the dashed line are honest; below it the model is surer than it is right. Larger dots hold more items."
        pictures.append(draw_picture(caption, reliability_diagram, "Is it as certain as it should be?", bins))
    shown = document.get("examples") or ()
    examples = [_item_example(example) for example in shown if "reference" not in example]
    writings = [generation_example(example, MODEL_NAMES) for example in shown if "reference" in example]
    return PageSection("faults", "Where it goes wrong", pictures=pictures, examples=examples, writings=writings)


def training_section(document: ReportDocument) -> PageSection:
    """Build the section about how the model was trained."""
    training = look_up(document, "training") or {}
    pictures = [found for found in (_history_picture(training), _sweep_picture(training)) if found]
    sentences = [*_training_sentences(training), *tokenized_rows_sentences(training)]
    tables = [table for table in (excluded_rows_table(training),) if table.rows]
    return PageSection("training", "How it was trained", _as_paragraphs(sentences), pictures, tables, rendered=tokenized_rows(training))


def learning_curve_section(document: ReportDocument) -> PageSection:
    """Build the section about the learning curve: what more rows would bring."""
    curve = document.get("learning_curve") or ()
    pictures = [found for key in ("accuracy", "log_loss") if (found := _learning_curve_picture(curve, key))]
    return PageSection(
        "growth", "Would more judgments help?", _as_paragraphs(_learning_curve_sentences(curve)) if pictures else [], pictures
    )


def reuse_sentences(document: ReportDocument) -> Iterator[str]:
    """Yield, by source of figures, how many of its rows had evaluated other models before, and how the gate corrects for it."""
    for source, found in (look_up(document, "openings") or {}).items():
        if others := found.get("others"):
            which = {"rows": "test rows", "general": "general texts"}.get(source, f"prompts of the suite {source}")
            confidence = format_confidence(1 - 0.05 / (1 + others) ** 2)
            yield (
                f"{format_count(found['rows'])} of these {format_count(found['of'])} {which} had judged other models before this one, "
                f"{others:.1f} models a row on average. Who tries many models on the same rows finds one that does well by chance, so "
                f"the gate takes their figures at {confidence} confidence instead of 95 %."
            )


def model_name(key: str) -> str:
    """Return a model's key in words."""
    return MODEL_NAMES.get(key, key.replace("_", " "))


def difference_name(key: str) -> str:
    """Return a comparison's key in words: `tuned_minus_zero_shot` is “Fine-tuned minus un-tuned, zero-shot”."""
    measure = next((kind for kind in METRIC_DISPLAYS if key.endswith(f"_{kind}")), "accuracy")
    first, separator, second = key.removesuffix(f"_{measure}").partition("_minus_")
    unit = "" if measure == "accuracy" else f" ({figure_name(measure)})"
    if not separator:
        return first.replace("_", " ").capitalize() + unit
    short = {"soft": "Soft labels", "hard": "hard labels"}
    left, right = short.get(first, model_name(first)), short.get(second, model_name(second))
    return f"{left} minus {right[0].lower()}{right[1:]}{unit}"


def _figure_picture(models: ReportDocument, key: str) -> PagePicture | None:
    kind = METRIC_DISPLAYS[key]
    found = {name: estimate for name in models if (estimate := find_estimate(models, name, key))}
    if not found:
        return None
    rows = [IntervalRow(model_name(name), estimate, strong=name == "tuned" or len(found) == 1) for name, estimate in found.items()]
    return draw_picture(kind.meaning, interval_plot, capitalize_first(figure_name(key)), rows, show=kind.number_format, limits=kind.limits)


def _label_pictures(models: ReportDocument) -> list[PagePicture]:
    """Draw the F1 of each label of a multi-label model."""
    rows = [
        IntervalRow(f"{label}" if len(models) == 1 else f"{model_name(name)}: {label}", Estimate.from_dict(value), strong=name == "tuned")
        for name in models
        for label, value in (look_up(models, name, "f1") or {}).items()
        if is_estimate(value)
    ]
    caption = "How well each label is found and not given where it doesn't belong. Labels that nobody gave to a test item aren't shown."
    return [draw_picture(caption, interval_plot, "F1 of each label", rows, show=format_percent, limits=(0.0, 1.0))] if rows else []


def _difference_picture(document: ReportDocument) -> PagePicture | None:
    found = {key: Estimate.from_dict(value) for key, value in (look_up(document, "comparison") or {}).items() if is_estimate(value)}
    shares = [IntervalRow(difference_name(key), estimate, strong=True) for key, estimate in found.items() if not key.endswith(_NO_SHARES)]
    if not shares:
        return None
    caption = " ".join(["Both models answered the very same items.", *_differences_in_nats(found)])
    title = "Difference, in points" if any(key.endswith("_exact_match") for key in found) else "Difference in accuracy, in points"
    return draw_picture(caption, interval_plot, title, shares, show=format_points, limits=(-1.0, 1.0), mark=(0.0, "no difference"))


def _differences_in_nats(found: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield the differences in nats, which have another scale than shares, with the better side of zero."""
    for end, better in zip(_IN_NATS, ("below", "above"), strict=True):
        told = "; ".join(
            f"{difference_name(key)}: {format_estimate(value, format_signed_decimal)}" for key, value in found.items() if key.endswith(end)
        )
        if told:
            yield f"{told} nats; {better} zero is better."


def _figure_table(models: ReportDocument) -> PageTable:
    keys = [key for key in METRIC_DISPLAYS if any(find_estimate(models, name, key) for name in models)]
    rows = []
    for name, model in models.items():
        cells = [
            _estimate_lines(found, METRIC_DISPLAYS[key].number_format) if (found := find_estimate(models, name, key)) else "–"
            for key in keys
        ]
        size = model.get("parameters") if isinstance(model, Mapping) else None
        rows.append([model_name(name), f"{size / 1e6:,.0f} M" if size else "–", *cells])
    return PageTable(
        "All figures, each with its interval", ["model", "parameters", *(capitalize_first(figure_name(key)) for key in keys)], rows
    )


def _estimate_lines(estimate: Estimate, show: NumberFormat) -> str:
    return f"{show(estimate.value)}\n{format_interval(estimate, show)}"


def _training_sentences(training: ReportDocument) -> Iterator[str]:
    if training.get("recipe"):
        base = f" from {training['base']}" if training.get("base") else ""
        rate = f", learning rate {training['learning_rate']:g}" if training.get("learning_rate") else ""
        number = f", numbers in {training['dtype']}" if training.get("dtype") else ""
        yield f"Recipe {training['recipe']}{base}{rate}{number}."
    if training.get("seconds"):
        pace = f" at {format_count(training['texts_per_second'])} texts a second" if training.get("texts_per_second") else ""
        yield f"It took {format_duration(training['seconds'])}{pace}."
    if training.get("summary"):
        yield from (str(words) for words in training["summary"])
    elif training.get("best_step") is not None:
        yield f"The weights kept are those of step {format_count(training['best_step'])}, where the validation loss was lowest."


def _history_picture(training: ReportDocument) -> PagePicture | None:
    caption = "Validation rows aren't trained on: when their loss rises again, the model begins to learn by heart."
    return PagePicture(LOSS_CHART_TITLE, drawn, caption) if (drawn := loss_curve_chart(LOSS_CHART_TITLE, training)) else None


def _sweep_picture(training: ReportDocument) -> PagePicture | None:
    caption = (
        "A short trial on a few rows. The bar at each rate is the standard error of its difference from the best on the same rows; "
        "the smallest rate that it doesn't tell from the best was used."
    )
    return (
        PagePicture(LEARNING_RATE_CHART_TITLE, drawn, caption)
        if (drawn := learning_rate_chart(LEARNING_RATE_CHART_TITLE, training))
        else None
    )


def _learning_curve_picture(curve: Sequence[ReportDocument], key: str) -> PagePicture | None:
    found = [(float(at["rows"]), estimate) for at in curve if (estimate := find_estimate(at, key))]
    if not found:
        return None
    kind = METRIC_DISPLAYS[key]
    series = LineSeries("fine-tuned", [(rows, e.value) for rows, e in found], [(e.low, e.high) for _, e in found], dots=True)
    return draw_picture(
        kind.meaning,
        line_chart,
        f"{capitalize_first(figure_name(key))} by rows trained on",
        [series],
        labels=("rows trained on", figure_name(key)),
        show_x=format_count,
        show_y=kind.number_format,
        limits=kind.limits,
        log_x=True,
    )


def _learning_curve_sentences(curve: Sequence[ReportDocument]) -> Iterator[str]:
    found = [(at["rows"], estimate) for at in curve if (estimate := find_estimate(at, "accuracy"))]
    if len(found) < 2:
        return
    (fewer, before), (most, after) = found[-2:]
    yield (
        f"Going from {format_count(fewer)} to {format_count(most)} rows "
        f"changed accuracy by {format_points(after.value - before.value)} points."
    )
    if after.value > before.high:
        yield "The curve still climbs, so more judgments would probably help."
    else:
        yield "That is within what chance alone can do: the curve doesn't show that more judgments of the same sort would help."


def _as_paragraphs(sentences: Iterable[str]) -> list[str]:
    words = " ".join(sentences)
    return [words] if words else []


def _item_example(example: ReportDocument) -> ItemExample:
    people, model = example.get("people") or {}, example.get("model") or {}
    answers = list(dict.fromkeys([*people, *model]))
    shares = [(str(answer), float(people.get(answer, 0.0)), float(model.get(answer, 0.0))) for answer in answers]
    chosen = example.get("said") or (max(shares, key=lambda share: share[2])[0] if model else "nothing")
    number = example.get("judgments") or 0
    resting = f", from {format_count(number)} {'judgment' if number == 1 else 'judgments'}" if number else ""
    truth = f"People: {example['truth']}{resting}. " if example.get("truth") is not None else ""
    return ItemExample(str(example.get("text", "")), f"{truth}Model: {chosen}.", shares)
