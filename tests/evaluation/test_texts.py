import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.evaluation import GeneratedAnswers, detect_labels, generation_estimates, paired_generation_estimates
from preceptor.evaluation.generation_metrics import normalize_spaces, word_f1

REFERENCES = ["It is green.", "It is blue.", "It is one.", "It is two."]
GROUPS = ["a", "a", "b", "c"]
TOKENS = [np.array([-1.0, -2.0]), np.array([-0.5]), np.array([-3.0, -1.0, -1.0]), np.array([-0.5])]
BY_HAND = GeneratedAnswers([" It  is\ngreen. ", "It is red.", "", "It is two."], TOKENS)


@pytest.mark.parametrize(
    ("answer", "reference", "wanted"),
    [
        ("The cat sat.", "a cat sat", 1.0),
        ("Sat, the CAT", "a cat sat", 1.0),
        ("cat", "a cat sat", 2 / 3),
        ("cat cat cat", "cat", 0.5),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("the", "the ", 1.0),
        ("?", "!", 0.0),
        ("«Élan»", "élan", 1.0),
    ],
)
def test_word_f1_by_hand(answer, reference, wanted):
    assert word_f1(answer, reference) == pytest.approx(wanted)
    assert word_f1(reference, answer) == pytest.approx(wanted), "both ways alike"


def test_figures_match_a_count_by_hand():
    found = generation_estimates(BY_HAND, REFERENCES, GROUPS)
    assert set(found) == {"exact_match", "token_f1", "log_probability"}
    assert found["exact_match"].value == 0.5
    assert found["token_f1"].value == pytest.approx((1 + 2 / 3 + 0 + 1) / 4)
    assert found["log_probability"].value == pytest.approx(-9 / 7), "a mean over tokens, not over rows"
    assert {each.n for each in found.values()} == {3}, "groups count, not rows or tokens"
    assert found["log_probability"].high <= 0
    assert 0 <= found["token_f1"].low < 0.15 < 0.9 < found["token_f1"].high <= 1, "three groups tell little"


def test_space_is_all_that_exact_match_forgives():
    assert normalize_spaces(" a\n b ") == normalize_spaces("a b")
    assert normalize_spaces("A b") != normalize_spaces("a b")


def test_labels_are_few_and_seen_again():
    assert detect_labels(["yes", "no ", " no", "yes"]) == ["no", "yes"]
    assert detect_labels(["a", "b", "c"]) == [], "each seen once: those are texts"
    assert detect_labels([str(number % 51) for number in range(500)]) == []


def test_accuracy_and_macro_f1_of_labels():
    """Of two a and two b: one a is found, one answered b, one b is found, one is answered by what is no label."""
    written = GeneratedAnswers(["a", "b", "b", "maybe b?"], TOKENS)
    found = generation_estimates(written, ["a", "a", "b", "b"], GROUPS, labels=["a", "b", "c"])
    assert found["accuracy"] == found["exact_match"]
    assert found["accuracy"].value == 0.5
    assert found["macro_f1"].value == pytest.approx((2 / 3 + 2 / 4) / 2), "c occurs on neither side"


def test_differences_are_paired():
    """Rows differ far more than the models do: only a difference on the same rows shows which is better."""
    rng = np.random.default_rng(0)
    hard = np.minimum(rng.normal(-3, 2, 60), -0.3)
    first, second = ([np.array([level + better, level + better]) for level in hard] for better in (0.2, 0.0))
    texts = ["x"] * 60
    groups = list(range(60))
    found = paired_generation_estimates(GeneratedAnswers(texts, first), GeneratedAnswers(texts, second), texts, groups)
    assert found["log_probability"].value == pytest.approx(0.2)
    own = generation_estimates(GeneratedAnswers(texts, second), texts, groups)["log_probability"]
    assert own.high - own.low > 0.5
    swapped = paired_generation_estimates(
        GeneratedAnswers(["x"] * 59 + ["y"], first), GeneratedAnswers(["y"] * 30 + ["x"] * 30, second), texts, groups, labels=["x", "y"]
    )
    assert swapped["exact_match"].value == pytest.approx(29 / 60)
    assert swapped["exact_match"].low > 0
    assert swapped["macro_f1"].low > 0


def test_columns_of_different_length_are_refused():
    with pytest.raises(UserError, match="different lengths"):
        generation_estimates(BY_HAND, REFERENCES[:3], GROUPS)
