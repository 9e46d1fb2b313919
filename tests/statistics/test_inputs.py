import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_labels, as_probabilities, as_targets, as_values, check_confidence


@pytest.mark.parametrize(
    ("values", "where"),
    [([1, 2, float("nan")], "x[2]"), ([float("inf")], "x[0]"), ([0.5, 1.5], "x[1]"), ([], "x"), (["a"], "x"), ([[1, 2]], "x"), (3.0, "x")],
)
def test_bad_values_are_named_by_position(values, where):
    with pytest.raises(UserError) as error:
        as_values(values, "x", high=1 if where == "x[1]" else np.inf)
    assert error.value.where == where


def test_the_number_of_further_faults_is_said():
    with pytest.raises(UserError, match=r"nan is not a finite number \(and 2 more\)"):
        as_values([0, np.nan, np.nan, np.nan], "x")


def test_clusters_are_coded_in_order_of_name_and_none_means_rows():
    assert as_clusters(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    assert as_clusters(None, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("clusters", [["a"], ["a", None], [1.0, float("nan")], [["a", "b"]]])
def test_clusters_that_fit_no_rows_are_refused(clusters):
    with pytest.raises(UserError):
        as_clusters(clusters, 2)


@pytest.mark.parametrize("table", [[0.5, 0.5], [[1.0]], [[0.5, 0.6]], [[1.5, -0.5]], [[np.nan, 1.0]], []])
def test_rows_that_are_no_distribution_are_refused(table):
    with pytest.raises(UserError):
        as_probabilities(table)


def test_targets_hard_or_soft():
    assert as_targets([1, 0], 2, 2).tolist() == [[0, 1], [1, 0]]
    assert as_targets([[0.25, 0.75]], 1, 2).tolist() == [[0.25, 0.75]]
    with pytest.raises(UserError, match="shape"):
        as_targets([[0.25, 0.75]], 1, 3)


@pytest.mark.parametrize("labels", [[0, 2], [0.5, 1], [0]])
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(UserError):
        as_labels(labels, 2, 2)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1])
def test_confidence_is_a_share(confidence):
    with pytest.raises(UserError, match="between 0 and 1"):
        check_confidence(confidence)
