import math

import pytest

from preceptor.domain import Estimate
from preceptor.evaluation import wording

SPACE = "\u00a0"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (wording.percent(0.7841), f"78.4{SPACE}%"),
        (wording.points(-0.0061), "−0.6"),
        (wording.points(0.301), "+30.1"),
        (wording.signed_decimal(-0.041), "−0.041"),
        (wording.count(21432), "21,432"),
        (wording.money(857.28, "USD"), "$857.28"),
        (wording.money(0.04, "USD"), "$0.04"),
        (wording.money(0.0141, "EUR"), f"0.0141{SPACE}EUR"),
        (wording.money(1200, ""), "1,200.00"),
        (wording.money(0, "USD"), "$0.00"),
        (wording.duration(4.06), f"4.1{SPACE}s"),
        (wording.duration(59.6), f"1{SPACE}min 0{SPACE}s"),
        (wording.duration(563.2), f"9{SPACE}min 23{SPACE}s"),
        (wording.duration(7500), f"2{SPACE}h 5{SPACE}min"),
        (wording.moment(0), "1970-01-01 00:00 UTC"),
        (wording.moment("yesterday"), "yesterday"),
        (wording.figure_name("ece"), "calibration error"),
        (wording.figure_name("consensus.accuracy"), "consensus: accuracy"),
    ],
)
def test_numbers_are_written_for_people(written, expected):
    assert written == expected


def test_an_interval_drops_the_repeated_unit():
    assert wording.spread(Estimate(0.784, 0.747, 0.821, 60, "t")) == f"78.4{SPACE}% (74.7 to 82.1)"


def test_an_end_without_bound_is_unknown():
    assert wording.spread(Estimate(0.5, 0.4, math.inf, 1, "t"), wording.decimal) == "0.500 (0.400 to unknown)"
    assert wording.spread(Estimate(0.5, -math.inf, math.inf, 1, "t"), wording.decimal) == "0.500 (interval unknown)"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["50.0 %", "60.0 %"], ["50 %", "60 %"]),
        (["0.400", "0.600"], ["0.4", "0.6"]),
        (["0.750", "0.800"], ["0.75", "0.80"]),
        (["100", "1,200"], ["100", "1,200"]),
        ([], []),
    ],
)
def test_ticks_lose_the_zeros_they_share(labels, expected):
    assert wording.trimmed([label.replace(" ", SPACE) for label in labels]) == [label.replace(" ", SPACE) for label in expected]
