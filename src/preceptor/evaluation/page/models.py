"""The page's sections about models: training, figures, faults, and what more judgments would bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from preceptor.domain import Estimate
from preceptor.evaluation.curves import LOSSES, RATES, loss_curves, rates_tried
from preceptor.evaluation.page.kinds import KINDS
from preceptor.evaluation.page.parts import Document, Example, Picture, Section, Table, figure, is_estimate, look, picture
from preceptor.evaluation.page.texts import generation_sentences, left_out_table, rendered_rows, rendered_sentences, written_example
from preceptor.evaluation.plots import Row, Series, confusion_map, interval_plot, line_chart, reliability_diagram
from preceptor.evaluation.wording import (
    Show,
    confidence_name,
    count,
    duration,
    figure_name,
    interval,
    percent,
    points,
    sentence,
    signed_decimal,
    spread,
    whole_percent,
)

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


def quality_section(document: Document) -> Section:
    """Each figure of each model with its interval, and the differences between models."""
    models = look(document, "models") or {}
    labelled = any(figure(models, name, "accuracy") for name in models)  # then exact_match is the same once more
    pictures = [found for key in KINDS if not (labelled and key == "exact_match") and (found := _figure_picture(models, key))]
    pictures += _label_pictures(models)
    sentences = []
    if tested := next(
        (estimate for name in models if (estimate := figure(models, name, "accuracy") or figure(models, name, "exact_match"))), None
    ):
        seen = look(document, "split", "seen_before")
        which = (
            f"test items, {count(seen)} of which an earlier model of its line was trained on"
            if seen
            else "test items that no training touched"
        )
        sentences.append(
            f"All figures are measured on {which}, from {count(tested.n)} groups. The bar around each dot "
            f"is its {whole_percent(tested.confidence)} interval: drawing such groups anew, it would hold the true value "
            f"{100 * tested.confidence:.0f} times in 100."
        )
    sentences.extend(openings_sentences(document))
    if differences := _difference_picture(document):
        sentences.append("A difference is beyond chance where its bar stays on one side of the line at zero.")
        pictures.append(differences)
    tables = [_figure_table(models)] if pictures and models else []
    paragraphs = [*_paragraph(sentences), *_paragraph(generation_sentences(document))]
    return Section("quality", "How good the model is", paragraphs, pictures, tables)


def faults_section(document: Document) -> Section:
    """Where the model goes wrong: confusion, calibration and single items."""
    model = look(document, "models", subject(document)) or {}
    pictures = []
    if counts := look(model, "confusion", "counts"):
        answers = [str(answer) for answer in model["confusion"]["answers"]]
        caption = "Rows are what people answered, columns what the model answered; the diagonal is agreement."
        pictures.append(picture(caption, confusion_map, "Confusion of answers", answers, counts, rows="people", columns="model"))
    if bins := [(at["confidence"], at["accuracy"], at["count"]) for at in model.get("reliability") or () if at["count"]]:
        caption = "Dots on the dashed line are honest; below it the model is surer than it is right. Larger dots hold more items."
        pictures.append(picture(caption, reliability_diagram, "Is it as certain as it should be?", bins))
    shown = document.get("examples") or ()
    examples = [_example(example) for example in shown if "reference" not in example]
    writings = [written_example(example, MODEL_NAMES) for example in shown if "reference" in example]
    return Section("faults", "Where it goes wrong", pictures=pictures, examples=examples, writings=writings)


def training_section(document: Document) -> Section:
    """How the model was trained."""
    training = look(document, "training") or {}
    pictures = [found for found in (_history_picture(training), _sweep_picture(training)) if found]
    sentences = [*_training_sentences(training), *rendered_sentences(training)]
    tables = [table for table in (left_out_table(training),) if table.rows]
    return Section("training", "How it was trained", _paragraph(sentences), pictures, tables, rendered=rendered_rows(training))


def growth_section(document: Document) -> Section:
    """The learning curve: what more rows would bring."""
    curve = document.get("learning_curve") or ()
    pictures = [found for key in ("accuracy", "log_loss") if (found := _growth_picture(curve, key))]
    return Section("growth", "Would more judgments help?", _paragraph(_growth_sentences(curve)) if pictures else [], pictures)


def subject(document: Document) -> str:
    """The model that the report is about: the fine-tuned one, else the first."""
    models = look(document, "models") or {}
    return "tuned" if "tuned" in models else next(iter(models), "tuned")


def openings_sentences(document: Document) -> Iterator[str]:
    """By source of figures, how many of its rows had judged other models before, and what the gate makes of it."""
    for source, found in (look(document, "openings") or {}).items():
        if others := found.get("others"):
            which = {"rows": "test rows", "general": "general texts"}.get(source, f"prompts of the suite {source}")
            confidence = confidence_name(1 - 0.05 / (1 + others) ** 2)
            yield (
                f"{count(found['rows'])} of these {count(found['of'])} {which} had judged other models before this one, "
                f"{others:.1f} models a row on average. Who tries many models on the same rows finds one that does well by chance, so "
                f"the gate takes their figures at {confidence} confidence instead of 95 %."
            )


def model_name(key: str) -> str:
    """A model's key in words."""
    return MODEL_NAMES.get(key, key.replace("_", " "))


def difference_name(key: str) -> str:
    """A comparison's key in words: `tuned_minus_zero_shot` is “Fine-tuned minus un-tuned, zero-shot”."""
    measure = next((kind for kind in KINDS if key.endswith(f"_{kind}")), "accuracy")
    first, separator, second = key.removesuffix(f"_{measure}").partition("_minus_")
    unit = "" if measure == "accuracy" else f" ({figure_name(measure)})"
    if not separator:
        return first.replace("_", " ").capitalize() + unit
    short = {"soft": "Soft labels", "hard": "hard labels"}
    left, right = short.get(first, model_name(first)), short.get(second, model_name(second))
    return f"{left} minus {right[0].lower()}{right[1:]}{unit}"


def _figure_picture(models: Document, key: str) -> Picture | None:
    kind = KINDS[key]
    found = {name: estimate for name in models if (estimate := figure(models, name, key))}
    if not found:
        return None
    rows = [Row(model_name(name), estimate, strong=name == "tuned" or len(found) == 1) for name, estimate in found.items()]
    return picture(kind.meaning, interval_plot, sentence(figure_name(key)), rows, show=kind.show, limits=kind.limits)


def _label_pictures(models: Document) -> list[Picture]:
    """F1 of each label, of a model that says of each whether it applies."""
    rows = [
        Row(f"{label}" if len(models) == 1 else f"{model_name(name)}: {label}", Estimate.of(value), strong=name == "tuned")
        for name in models
        for label, value in (look(models, name, "f1") or {}).items()
        if is_estimate(value)
    ]
    caption = "How well each label is found and not given where it doesn't belong. Labels that nobody gave to a test item aren't shown."
    return [picture(caption, interval_plot, "F1 of each label", rows, show=percent, limits=(0.0, 1.0))] if rows else []


def _difference_picture(document: Document) -> Picture | None:
    found = {key: Estimate.of(value) for key, value in (look(document, "comparison") or {}).items() if is_estimate(value)}
    shares = [Row(difference_name(key), estimate, strong=True) for key, estimate in found.items() if not key.endswith(_NO_SHARES)]
    if not shares:
        return None
    caption = " ".join(["Both models answered the very same items.", *_differences_in_nats(found)])
    title = "Difference, in points" if any(key.endswith("_exact_match") for key in found) else "Difference in accuracy, in points"
    return picture(caption, interval_plot, title, shares, show=points, limits=(-1.0, 1.0), mark=(0.0, "no difference"))


def _differences_in_nats(found: Mapping[str, Estimate]) -> Iterator[str]:
    """Those that no share of items can be drawn beside, with which side of zero is the better one."""
    for end, better in zip(_IN_NATS, ("below", "above"), strict=True):
        told = "; ".join(f"{difference_name(key)}: {spread(value, signed_decimal)}" for key, value in found.items() if key.endswith(end))
        if told:
            yield f"{told} nats; {better} zero is better."


def _figure_table(models: Document) -> Table:
    keys = [key for key in KINDS if any(figure(models, name, key) for name in models)]
    rows = []
    for name, model in models.items():
        cells = [_two_lines(found, KINDS[key].show) if (found := figure(models, name, key)) else "–" for key in keys]
        size = model.get("parameters") if isinstance(model, Mapping) else None
        rows.append([model_name(name), f"{size / 1e6:,.0f} M" if size else "–", *cells])
    return Table("All figures, each with its interval", ["model", "parameters", *(sentence(figure_name(key)) for key in keys)], rows)


def _two_lines(estimate: Estimate, show: Show) -> str:
    return f"{show(estimate.value)}\n{interval(estimate, show)}"


def _training_sentences(training: Document) -> Iterator[str]:
    if training.get("recipe"):
        base = f" from {training['base']}" if training.get("base") else ""
        rate = f", learning rate {training['learning_rate']:g}" if training.get("learning_rate") else ""
        number = f", numbers in {training['dtype']}" if training.get("dtype") else ""
        yield f"Recipe {training['recipe']}{base}{rate}{number}."
    if training.get("seconds"):
        pace = f" at {count(training['texts_per_second'])} texts a second" if training.get("texts_per_second") else ""
        yield f"It took {duration(training['seconds'])}{pace}."
    if training.get("words"):
        yield from (str(words) for words in training["words"])
    elif training.get("best_step") is not None:
        yield f"The weights kept are those of step {count(training['best_step'])}, where the validation loss was lowest."


def _history_picture(training: Document) -> Picture | None:
    caption = "Validation rows aren't trained on: when their loss rises again, the model begins to learn by heart."
    return Picture(LOSSES, drawn, caption) if (drawn := loss_curves(LOSSES, training)) else None


def _sweep_picture(training: Document) -> Picture | None:
    caption = (
        "A short trial on a few rows. The bar at each rate is the standard error of its difference from the best on the same rows; "
        "the smallest rate that it doesn't tell from the best was used."
    )
    return Picture(RATES, drawn, caption) if (drawn := rates_tried(RATES, training)) else None


def _growth_picture(curve: Sequence[Document], key: str) -> Picture | None:
    found = [(float(at["rows"]), estimate) for at in curve if (estimate := figure(at, key))]
    if not found:
        return None
    kind = KINDS[key]
    series = Series("fine-tuned", [(rows, e.value) for rows, e in found], [(e.low, e.high) for _, e in found], dots=True)
    return picture(
        kind.meaning,
        line_chart,
        f"{sentence(figure_name(key))} by rows trained on",
        [series],
        labels=("rows trained on", figure_name(key)),
        show_x=count,
        show_y=kind.show,
        limits=kind.limits,
        log_x=True,
    )


def _growth_sentences(curve: Sequence[Document]) -> Iterator[str]:
    found = [(at["rows"], estimate) for at in curve if (estimate := figure(at, "accuracy"))]
    if len(found) < 2:
        return
    (fewer, before), (most, after) = found[-2:]
    yield f"Going from {count(fewer)} to {count(most)} rows changed accuracy by {points(after.value - before.value)} points."
    if after.value > before.high:
        yield "The curve still climbs, so more judgments would probably help."
    else:
        yield "That is within what chance alone can do: the curve doesn't show that more judgments of the same sort would help."


def _paragraph(sentences: Iterable[str]) -> list[str]:
    words = " ".join(sentences)
    return [words] if words else []


def _example(example: Document) -> Example:
    people, model = example.get("people") or {}, example.get("model") or {}
    answers = list(dict.fromkeys([*people, *model]))
    shares = [(str(answer), float(people.get(answer, 0.0)), float(model.get(answer, 0.0))) for answer in answers]
    chosen = example.get("said") or (max(shares, key=lambda share: share[2])[0] if model else "nothing")
    number = example.get("judgments") or 0
    resting = f", from {count(number)} {'judgment' if number == 1 else 'judgments'}" if number else ""
    truth = f"People: {example['truth']}{resting}. " if example.get("truth") is not None else ""
    return Example(str(example.get("text", "")), f"{truth}Model: {chosen}.", shares)
