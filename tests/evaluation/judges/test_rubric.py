"""A rubric judge: probabilities of a local model, verdicts that are written, and what freezes it."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.evaluation.judges import GenerationChooser, JudgeCase, LikelihoodChooser, PairCase, PairJudge, RubricJudge, parse_verdict
from preceptor.generation import LocalProvider

CASES = [JudgeCase("how are you"), JudgeCase("fine thanks", ("the source says so",), "user: are you?"), JudgeCase("today")]


class Scripted:
    """Writes what it is told to, and remembers what it read."""

    name = "scripted"

    def __init__(self, *texts):
        self.texts, self.read = texts, []

    def write(self, conversations, **how):
        self.read += [turns[-1]["content"] for turns in conversations]
        return [self.texts[number % len(self.texts)] for number, _ in enumerate(conversations)]


def test_a_local_model_gives_the_probability_of_yes(tiny_chat):
    provider = LocalProvider(tiny_chat)
    judge = RubricJudge("Is it kind?", LikelihoodChooser(provider, "w"))
    short = [JudgeCase("how are you"), JudgeCase("today")]
    scores = judge.scores(short)
    asked = [provider.render([{"role": "user", "content": judge.prompt(case)}]) for case in short]
    each = np.array([provider.option_log_probabilities("", [text], "", ("Yes", "No"))[0] for text in asked])
    assert np.allclose(scores, np.exp(each[:, 0]) / np.exp(each).sum(axis=1), atol=1e-6)
    assert np.array_equal(judge.scores(short), scores)


def test_what_the_model_cannot_read_whole_gets_no_verdict(tiny_chat):
    judge = RubricJudge("Is it kind?", LikelihoodChooser(LocalProvider(tiny_chat), "w"))
    scores = judge.scores([JudgeCase("how are you " * 100), JudgeCase("today")])
    assert np.isnan(scores[0])
    assert 0 <= scores[1] <= 1


def test_written_verdicts_are_read_and_what_is_none_counts_as_none():
    writer = Scripted("**Yes**", "No.", "I can't tell")
    scores = RubricJudge("Is it kind?", GenerationChooser(writer, "w")).scores(CASES)
    assert np.array_equal(scores, [1.0, 0.0, np.nan], equal_nan=True)
    assert "the source says so" in writer.read[1]
    assert "user: are you?" in writer.read[1]
    assert "source 1" not in writer.read[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [("yes", 0), (" Yes, it is; no doubt", 0), ("The answer is no", 1), ("yes or no?", 0), ("well, yes and no", None), ("nothing", None)],
)
def test_a_verdict_is_a_whole_word(text, found):
    assert parse_verdict(text, ("Yes", "No")) == found


def test_another_question_model_or_kind_is_another_judge():
    writer = Scripted("A")
    digests = {
        RubricJudge(question, GenerationChooser(writer, weights)).digest for question in ("Kind?", "Rude?") for weights in ("v", "w")
    }
    digests |= {PairJudge(GenerationChooser(writer, "w")).digest, PairJudge(GenerationChooser(writer, "w"), "Which is kinder?").digest}
    assert len(digests) == 6
    assert RubricJudge("Kind?", GenerationChooser(writer, "w")).digest in digests


def test_a_judge_that_always_says_a_flips_on_every_pair():
    pairs = [PairCase(f"p{n}", f"one {n}", f"two {n}") for n in range(30)]
    found = PairJudge(GenerationChooser(Scripted("A"), "w")).verdicts(pairs)
    assert found.flip_rate().value == 1
    assert found.first_place().value == 1
    assert (found.scores() == 0.5).all()
    assert (found.scores("consistent") == 0.5).all()


def test_a_judge_needs_a_question():
    for make in (RubricJudge, lambda question, chooser: PairJudge(chooser, question)):
        with pytest.raises(UserError, match="needs a question"):
            make("  ", GenerationChooser(Scripted("A"), "w"))


def test_a_judge_is_recorded_so_that_it_can_be_asked_again():
    judge = RubricJudge("Is it kind?", GenerationChooser(Scripted("No"), "w"))
    record = judge.record
    assert record["form"].format(question=record["question"], before="", text="today") == judge.prompt(JudgeCase("today"))
    assert record["options"] == ["Yes", "No"]
    assert record["model"] == "w"
    assert record["chooses"].startswith("greedily")
