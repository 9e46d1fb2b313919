"""`choice`: one of the options, and nothing else."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds

choice = kinds.get("choice")


def question(*options):
    return define_question({"name": "q", "kind": "choice", "options": list(options)})


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ([], "at least two"),
        (["a"], "at least two"),
        (["a", "a"], "stands twice"),
        (["a", " "], "isn't empty"),
        (["a", 1], "must be a text"),
    ],
)
def test_unfit_options_are_refused(options, fault):
    with pytest.raises(UserError, match=fault):
        question(*options)


def test_a_choice_has_no_settings():
    with pytest.raises(UserError, match="no setting 'cuts'"):
        define_question({"name": "q", "kind": "choice", "options": ["a", "b"], "settings": {"cuts": [0]}})


def test_an_answer_is_an_option():
    assert choice.parse(question("yes", "no"), "yes") == "yes"


@pytest.mark.parametrize(("given", "option"), [(1, "1"), (0.5, "0.5"), (True, "True")])
def test_numbers_of_a_file_stand_for_the_options_that_they_are_written_as(given, option):
    assert choice.parse(question(option, "other"), given) == option


@pytest.mark.parametrize("answer", ["ye", "Yes", " yes", "", None, ["yes"], {"yes": 1}, float("nan"), 3])
def test_anything_else_is_refused(answer):
    with pytest.raises(UserError, match="is not an option of 'q'"):
        choice.parse(question("yes", "no"), answer)


def test_the_nearest_option_is_proposed():
    with pytest.raises(UserError, match="did you mean 'negative'"):
        choice.parse(question("negative", "positive"), "negativ")
