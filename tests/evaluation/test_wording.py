import math

import pytest

from preceptor import Estimate
from preceptor.evaluation import number_format

SPACE = "\u00a0"


def test_numbers_are_written_for_people(subtests):
    for written, expected in [
        (number_format.format_percent(0.7841), f"78.4{SPACE}%"),
        (number_format.format_points(-0.0061), "−0.6"),
        (number_format.format_points(0.301), "+30.1"),
        (number_format.format_signed_decimal(-0.041), "−0.041"),
        (number_format.format_count(21432), "21,432"),
        (number_format.format_money(857.28, "USD"), "$857.28"),
        (number_format.format_money(0.04, "USD"), "$0.04"),
        (number_format.format_money(0.0141, "EUR"), f"0.0141{SPACE}EUR"),
        (number_format.format_money(1200, ""), "1,200.00"),
        (number_format.format_money(0, "USD"), "$0.00"),
        (number_format.format_duration(4.06), f"4.1{SPACE}s"),
        (number_format.format_duration(59.6), f"1{SPACE}min 0{SPACE}s"),
        (number_format.format_duration(563.2), f"9{SPACE}min 23{SPACE}s"),
        (number_format.format_duration(7500), f"2{SPACE}h 5{SPACE}min"),
        (number_format.format_timestamp(0), "1970-01-01 00:00 UTC"),
        (number_format.format_timestamp("yesterday"), "yesterday"),
        (number_format.figure_name("ece"), "calibration error"),
        (number_format.figure_name("consensus.accuracy"), "consensus: accuracy"),
    ]:
        with subtests.test(written=written, expected=expected):
            assert written == expected


def test_an_interval_drops_the_repeated_unit():
    assert number_format.format_estimate(Estimate(0.784, 0.747, 0.821, 60, "t")) == f"78.4{SPACE}% (74.7 to 82.1)"


def test_an_end_without_bound_is_unknown():
    assert number_format.format_estimate(Estimate(0.5, 0.4, math.inf, 1, "t"), number_format.format_decimal) == "0.500 (0.400 to unknown)"
    assert (
        number_format.format_estimate(Estimate(0.5, -math.inf, math.inf, 1, "t"), number_format.format_decimal)
        == "0.500 (interval unknown)"
    )


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
    assert number_format.trim_zeros([label.replace(" ", SPACE) for label in labels]) == [label.replace(" ", SPACE) for label in expected]
