"""How a training went, as pictures: both losses over its steps, and the learning rates that were tried with their errors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from preceptor.evaluation.plots import Series, line_chart
from preceptor.evaluation.svg import WIDTH, element, text
from preceptor.evaluation.wording import count, decimal

LOSSES, RATES = "Training and validation loss", "Learning rates tried"
_GAP, _TITLE = 24.0, 20.0


def loss_curves(title: str, training: Mapping[str, Any]) -> Markup | None:
    """Both losses by step, the kept weights marked; None where no loss was measured. training: history, best_step."""
    history = training.get("history") or ()
    series = []
    for key, label, style in (("train_loss", "training loss", "b"), ("validation_loss", "validation loss", "a")):
        measured = [(float(at["step"]), at[key]) for at in history if at.get(key) is not None]
        if measured:
            series.append(Series(label, measured, style=style, dots=len(measured) < 2))
    if not series:
        return None
    best = training.get("best_step")
    return line_chart(
        title,
        series,
        labels=("step", "loss, in nats"),
        show_x=count,
        show_y=decimal,
        limits=(0.0, math.inf),
        marks=[(best, "kept")] if best is not None else (),
    )


def rates_tried(title: str, training: Mapping[str, Any]) -> Markup | None:
    """Validation loss by learning rate, each with the standard error of its difference from the best, the one used marked.

    None where fewer than two could be told. training: sweep, learning_rate.
    """
    tried = [at for at in training.get("sweep") or () if at.get("validation_loss") is not None]
    if len(tried) < 2:
        return None
    tried.sort(key=lambda at: at["learning_rate"])
    points = [(at["learning_rate"], at["validation_loss"]) for at in tried]
    errors = [(at["validation_loss"] - (at.get("error") or 0.0), at["validation_loss"] + (at.get("error") or 0.0)) for at in tried]
    used = training.get("learning_rate")
    return line_chart(
        title,
        [Series("validation loss", points, errors, dots=True)],
        labels=("learning rate", "loss, in nats"),
        show_x=lambda rate: f"{rate:.1g}".replace("e-0", "e−"),
        show_y=decimal,
        limits=(0.0, math.inf),
        log_x=True,
        marks=[(used, "used")] if used is not None and used in dict(points) else (),
    )


def curves_svg(training: Mapping[str, Any]) -> str | None:
    """Both pictures, one under the other, as a file that any browser shows; None where there is nothing to draw."""
    drawn = [(title, found) for title, draw in ((LOSSES, loss_curves), (RATES, rates_tried)) if (found := draw(title, training))]
    return sheet(drawn) if drawn else None


def sheet(drawn: Sequence[tuple[str, Markup]]) -> str:
    """Pictures with their titles, one under the other, as an SVG file with its own style."""
    parts, y = list[Markup](), _GAP
    for title, picture in drawn:
        height = float(re.findall(r'viewBox="0 0 \S+ ([\d.]+)"', picture)[0])
        inside = Markup(re.sub(r"^<svg[^>]*>|</svg>$", "", picture))
        parts += [text(title, _GAP, y + 4, class_="strong"), element("g", inside, transform=f"translate({_GAP:g} {y + _TITLE:g})")]
        y += _TITLE + height + _GAP
    style = files("preceptor.evaluation").joinpath("templates/pictures.css").read_text(encoding="utf-8")
    box = f"0 0 {WIDTH + 2 * _GAP:g} {y:g}"
    paper = element("rect", width="100%", height="100%", style="fill: var(--paper)")
    whole = element("svg", Markup(f"<style>\n{style}text {{ font-family: sans-serif; }}\n</style>"), paper, *parts, viewBox=box)
    return str(whole).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1) + "\n"
