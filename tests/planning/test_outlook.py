from __future__ import annotations

import re

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.planning.data_scaling import MeasuredMethod, ScalingForecast, read_measured_curve

SIZES = (20, 40, 80, 160, 320, 640)


def lines(errors=lambda size: 0.9 * size**-0.25, *, sizes=SIZES, seeds=3, column="error", held=400):
    """A file's lines in random order."""
    random = np.random.default_rng(0)
    rows = [f"{size},{seed},{errors(size) + random.normal(0, 0.006):.4f},{held}" for size in sizes for seed in range(seeds)]
    return "\n".join([f"size,seed,{column},held", *random.permutation(rows)]) + "\n"


@pytest.fixture
def write(tmp_path):
    def written(text):
        (tmp_path / "probe.csv").write_text(text, encoding="utf-8")
        return tmp_path / "probe.csv"

    return written


def test_a_file_of_runs_becomes_a_forecast_at_twice_and_four_times(write):
    found = ScalingForecast.from_method(read_measured_curve(write(lines())))
    assert list(found.forecasts) == [1280, 2560]
    assert found.current_accuracy.value < found.forecasts[1280].value < found.forecasts[2560].value
    assert found.forecasts[2560].low <= 1 - 0.9 * 2560**-0.25 <= found.forecasts[2560].high
    assert found.summary.startswith("probe: 8")
    assert "Back-test passed: without the runs on 640 rows" in found.summary
    document = found.to_dict()
    assert [each["size"] for each in document["points"]] == list(SIZES)
    assert document["backtest"]["passed"]
    assert document["forecasts"][0]["accuracy"] == found.forecasts[1280].to_dict()


def test_accuracies_and_errors_are_the_same_curve(write):
    by_error = read_measured_curve(write(lines()))
    rows = lines().splitlines()
    turned = [",".join([*row.split(",")[:2], f"{1 - float(row.split(',')[2]):.4f}", row.split(",")[3]]) for row in rows[1:]]
    by_accuracy = read_measured_curve(write("\n".join(["size,seed,accuracy,held", *turned])))
    assert by_accuracy.curve.error(640) == pytest.approx(by_error.curve.error(640), abs=1e-6)


def test_where_the_back_test_failed_nothing_beyond_is_shown(write):
    found = ScalingForecast.from_method(read_measured_curve(write(lines(lambda size: 0.9 * size**-0.25 - (0.15 if size == 640 else 0)))))
    assert not found.forecasts
    assert "what more would do isn't known" in found.headline
    assert "Back-test failed" in found.backtest_summary
    assert found.to_dict()["forecasts"] == []


@pytest.mark.parametrize("level", [0.002, 0.998])
def test_words_stay_within_0_and_100_percent(write, level):
    rows = [f"{size},{seed},{level + (seed - 1) * 0.002:.4f},400" for size in SIZES for seed in range(3)]
    words = ScalingForecast.from_method(read_measured_curve(write("\n".join(["size,seed,error,held", *rows])))).summary
    shares = [float(number) for number in re.findall(r"-?\d+\.\d", words)]
    assert shares
    assert min(shares) >= 0
    assert max(shares) <= 100


def test_other_sizes_can_be_asked_about_but_none_beyond_four_times(write):
    learner = read_measured_curve(write(lines()))
    assert list(ScalingForecast.from_method(learner, [2560, 1000]).forecasts) == [1000, 2560]
    with pytest.raises(UserError, match=r"2,561 rows are more than 4 times the 640.*2,560 at most"):
        ScalingForecast.from_method(learner, [2561])
    with pytest.raises(UserError, match="19 rows are fewer than the 20"):
        ScalingForecast.from_method(learner, [19])


def test_what_is_no_curve_is_refused(write, subtests):
    for text, words in [
        ("", "no points stand in it"),
        ("size,seed\n20,1\n", "error|accuracy is missing"),
        (lines(seeds=1), r"5 sizes and 3 seeds of each, not 6 and 1.*preceptor learning-curve SNAPSHOT"),
        (lines(sizes=SIZES[:4]), "not 4 and 3"),
        (lines().replace("20,0,0", "20,0,nan0"), "error is 'nan0"),
        (lines(held=0), "measured on the same rows"),
        (lines() + "20,3,0.4,300\n", "measured on the same rows"),
        (lines() + "20,0,0.4,400\n", r"probe.csv:20: seed 0 stands there twice with 20 rows"),
        (lines() + "20,3,nan,400\n", r"probe.csv:20: error is nan"),
        (lines() + "20,3,inf,400\n", r"probe.csv:20: error is inf"),
        (lines() + "20,3,41,400\n", r"error is a share from 0 to 1, not 41"),
        (lines() + "20.5,3,0.4,400\n", "size is '20.5'"),
        (lines() + "0,3,0.4,400\n", "nothing is learnt from 0 rows"),
    ]:
        with subtests.test(text=text, words=words), pytest.raises(UserError, match=words):
            read_measured_curve(write(text))


def test_a_file_that_isnt_there_is_named(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        read_measured_curve(tmp_path / "none.csv")


def test_a_learner_of_one_seed_says_what_is_missing():
    with pytest.raises(UserError, match="not 6 and 1"):
        MeasuredMethod.from_runs("probe", SIZES, [0.3] * 6, [1.0] * 6, 100)
