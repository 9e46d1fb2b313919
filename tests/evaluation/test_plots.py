"""Each picture is well-formed, says in words what it shows, and puts its marks where the numbers are."""

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor import Estimate
from preceptor.evaluation.number_format import format_decimal, format_percent, format_points
from preceptor.reporting import charts

HOSTILE = '<script>alert("x")</script> & co'


def parsed(picture):
    root = ElementTree.fromstring(picture)
    assert root.get("role") == "img"
    labels = {part.get("id"): part.text for part in root if part.tag in ("title", "desc")}
    assert all(labels[key] for key in root.get("aria-labelledby").split())
    assert not [part for part in root.iter() if part.tag == "script"]
    return root


def numbers(root):
    """All coordinates in a picture."""
    for part in root.iter():
        for key, value in part.items():
            if key in ("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "width", "height"):
                yield float(value)


def row(label="model", value=0.7, low=0.6, high=0.8, strong=True):
    return charts.IntervalRow(label, Estimate(value, low, high, 30, "t"), strong)


PICTURES = {
    "intervals": lambda words: charts.interval_plot(
        words, [row(words), row("b", 0.5, 0.4, 0.6, False)], show=format_percent, limits=(0, 1), mark=(0.72, words)
    ),
    "unbounded": lambda words: charts.interval_plot(
        words, [row(words, 0.7, -math.inf, math.inf)], show=format_decimal, limits=(0, math.inf)
    ),
    "lines": lambda words: charts.line_chart(
        words,
        [charts.LineSeries(words, [(1, 0.2), (2, 0.4)], [(0.1, 0.3), (0.2, 0.6)]), charts.LineSeries("b", [(1, 0.1), (2, 0.3)], style="b")],
        labels=(words, words),
        show_x=format_decimal,
        show_y=format_percent,
        limits=(0, 1),
        marks=[(1.5, words)],
    ),
    "one point": lambda words: charts.line_chart(
        words,
        [charts.LineSeries(words, [(0, 0.2)], [(-math.inf, 0.3)], dots=True)],
        labels=("x", "y"),
        show_x=format_decimal,
        show_y=format_percent,
        limits=(0, 1),
        log_x=True,
    ),
    "histogram": lambda words: charts.histogram(words, [(words, 3), ("b", 0)], x_label=words, y_label=words),
    "confusion": lambda words: charts.confusion_heatmap(words, [words, "b"], [[3, 1], [0, 0]], rows="people", columns="model"),
    "reliability": lambda words: charts.reliability_diagram(words, [(0.4, 0.5, 3), (0.9, 0.8, 12)]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_well_formed_and_escapes_its_words(name):
    root = parsed(PICTURES[name](HOSTILE))
    assert root.find("title").text == HOSTILE
    assert all(math.isfinite(number) for number in numbers(root))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_stays_inside_its_frame(name):
    root = parsed(PICTURES[name]("short"))
    _, _, width, height = map(float, root.get("viewBox").split())
    for part in root.iter():
        assert all(-0.01 <= float(part.get(key, 0)) <= width + 0.01 for key in ("x", "x1", "x2", "cx"))
        assert all(-0.01 <= float(part.get(key, 0)) <= height + 0.01 for key in ("y", "y1", "y2", "cy"))


def test_dots_stand_in_the_order_of_their_values():
    picture = charts.interval_plot(
        "t", [row(value=v, low=v - 0.02, high=v + 0.02) for v in (0.5, 0.9, 0.7)], show=format_percent, limits=(0, 1)
    )
    places = [float(dot.get("cx")) for dot in parsed(picture).iter("circle")]
    assert places[0] < places[2] < places[1]
    assert places[2] == pytest.approx((places[0] + places[1]) / 2)


def test_the_description_says_the_figures():
    root = parsed(charts.interval_plot("t", [row("tuned")], show=format_percent, limits=(0, 1)))
    assert root.find("desc").text == "tuned: 70.0\u00a0% (60.0 to 80.0)"


def test_long_labels_leave_the_numbers_readable():
    """A label too long for one line moves the numbers of all rows to a second line."""
    picture = charts.interval_plot(
        "t", [row("a very long name of a model, longer than its column"), row("b")], show=format_points, limits=(-1, 1)
    )
    texts = [part for part in parsed(picture).iter("text") if "halo" in part.get("class", "")]
    assert len({part.get("y") for part in texts}) == 4


def test_bars_stand_on_zero():
    bars = [
        float(bar.get("height"))
        for bar in parsed(charts.histogram("t", [("1", 10), ("2", 5), ("3", 0)], x_label="x", y_label="y")).iter("rect")
    ]
    assert bars[0] == pytest.approx(2 * bars[1], abs=0.02)
    assert bars[2] == 0


def test_many_answers_still_fit():
    answers = [f"answer number {k}" for k in range(12)]
    root = parsed(charts.confusion_heatmap("t", answers, [[1] * 12] * 12, rows="people", columns="model"))
    assert len(list(root.iter("rect"))) == 144
    assert max(float(box.get("x")) + float(box.get("width")) for box in root.iter("rect")) <= charts.CHART_WIDTH


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low, span):
    high = low + span
    found = charts.axis_ticks(low, high)
    step = {round((b - a) / (high - low), 6) for a, b in itertools.pairwise(found)}
    assert len(found) <= 7
    assert len(step) <= 1 or span < 1e-6 * abs(low)
    assert all(low - 1e-6 * span - 1e-9 * abs(low) <= value <= high + 1e-6 * span + 1e-9 * abs(low) for value in found)


def test_text_size_in_the_picture_suits_a_phone():
    """The drawing is about as wide as a phone's column, so that its text isn't scaled below 11 pixels at 390."""
    style = (charts.__file__.rsplit("/", 1)[0]) + "/templates/pictures.css"
    with open(style) as file:
        sizes = [float(size) for size in re.findall(r"svg[^}]*font-size: ([\d.]+)px", file.read())]
    assert min(sizes) * (390 - 36) / charts.CHART_WIDTH >= 10.5
