"""What answers earn, in all and by part."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.training.recipe import SampledAnswer, TrainingRun
from preceptor.training.rl import reward_functions
from preceptor.training.rl.composite_reward import CompositeReward, build_reward, parse_reward_spec
from preceptor.training.rl.reward_functions import ModelReward, UserFunctionReward
from tiny_models import Answered, save_decoder

FUNCTIONS = """
import subprocess
import time

def polite(text, content):
    print("what it prints doesn't disturb")
    return "please" in text

def right(text, content, target):
    return target.get(text, 0.0) + len(content["prompt"])

def broken(text, content):
    return 1 / 0

def not_a_number(text, content):
    return float("nan") if text == "b" else 1.0

def runs_programs(text, content):
    subprocess.run(["sh", "-c", "cat; echo what a program prints"], check=True)
    return 1.0

def waits_for_a_program(text, content):
    subprocess.run(["sh", "-c", f"echo $$ > {text}; exec sleep 600"])

def slow(text, content):
    if text == "for ever":
        time.sleep(600)
    return 1.0
"""


def answers(*texts: str, target: dict[str, float] | None = None, ended: bool = True) -> list[SampledAnswer]:
    return [
        SampledAnswer(f"r{number}", {"prompt": "ab"}, text, ended, target or {"Yes": 0.7, "no": 0.3}) for number, text in enumerate(texts)
    ]


def run_of(**more: Any) -> TrainingRun:
    return TrainingRun(Path("nowhere"), Path("nowhere"), None, **more)  # type: ignore[arg-type]


def earned(spec: str, samples: Sequence[SampledAnswer], **more: Any) -> list[float]:
    return build_reward(parse_reward_spec(spec), run_of(**more)).total(samples).tolist()


def state(process: str) -> str:
    """The letter of a process's state, or nothing where there is none."""
    return subprocess.run(["ps", "-o", "stat=", "-p", process], capture_output=True, text=True, check=False).stdout[:1]


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_checks.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_right_answer_earns_its_probability_however_it_is_written() -> None:
    assert earned("exact", answers("yes", " YES. ", "No!", "ｎｏ", "maybe", "")) == [0.7, 0.7, 0.3, 0.3, 0.0, 0.0]


def test_answers_of_punctuation_alone_are_told_apart() -> None:
    assert earned("exact", answers("+", "-", target={"+": 1.0})) == [1.0, 0.0]


def test_a_row_without_a_right_answer_is_named() -> None:
    with pytest.raises(UserError, match=r"row 'r0', answer 'yes': reward exact: the row has no right answer"):
        earned("exact", [SampledAnswer("r0", {"prompt": "a"}, "yes")])


def test_patterns_forms_and_lengths() -> None:
    assert earned("regex:^Answer", answers("Answer: a", "no Answer")) == [1.0, 0.0]
    assert earned("format:json", answers('{"a": 1}', "{a}")) == pytest.approx([0.1, 0.0])
    assert earned("format:'[a-z]+'", answers("abc", "abc d")) == pytest.approx([0.1, 0.0])
    assert earned("format:'[a-z]+'", answers("abc", ended=False)) == [0.0]  # cut off, it only looks so
    assert earned("length<=2", answers("a b", "a b c", "")) == [1.0, 0.0, 0.0]  # silence isn't short
    assert earned("length>=2", answers("a b", "a")) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("regex:(", "is no regular expression"),
        ("regex:a*", "matches the empty answer"),
        ("length:long", "'long' is no bound"),
        ("exact:a", "takes nothing"),
        ("policy:FILE", "can't check it"),
        ("claims", "can't check it"),
        ("function:nothing", "names no function"),
        ("function:no_such_module_anywhere:f", "No module named"),
    ],
)
def test_a_part_that_cannot_be_made_is_said_before_training(spec: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("")
    with pytest.raises(UserError, match=message):
        build_reward(parse_reward_spec(spec.replace("FILE", str(tmp_path / "policy.toml"))), run_of())


def test_parts_are_weighed_and_told_by_name() -> None:
    rewards = build_reward(parse_reward_spec("exact*2, regex:es*-1"), run_of())
    found = rewards.score(answers("Yes", "no", "x"))
    assert found.total.tolist() == pytest.approx([0.4, 0.6, 0.0])
    assert found.by_part["exact"].tolist() == [0.7, 0.3, 0.0]
    assert rewards.names == ("exact", "regex:es")
    assert found.means == pytest.approx({"reward": 1 / 3, "exact": 1 / 3, "regex:es": 1 / 3})


def test_in_doubt_is_what_the_parts_differ_about() -> None:
    doubt = build_reward(parse_reward_spec("regex:a, regex:b"), run_of()).score(answers("ab", "a", "x", "ab", "x", "x")).disagreement
    assert doubt.argmax() == 1
    assert not build_reward(parse_reward_spec("regex:a"), run_of()).score(answers("ab", "x")).disagreement.any()


def test_a_check_of_the_run_is_asked() -> None:
    checks = {"claims": lambda of: lambda samples: np.array([float(len(sample.text)) for sample in samples])}
    assert earned("claims*0.5", answers("ab", "c"), checks=checks) == [1.0, 0.5]


class Half:
    """A check that forgets the last answer."""

    def score(self, samples: Sequence[SampledAnswer]) -> Any:
        return np.zeros(len(samples) - 1)


def test_scores_of_another_number_are_refused() -> None:
    with pytest.raises(UserError, match=r"reward half gave scores of shape \(1,\) for 2 answers"):
        CompositeReward({"half": (1.0, Half())}).total(answers("a", "b"))


@pytest.mark.usefixtures("functions")
def test_a_function_of_ones_own() -> None:
    assert earned("function:my_checks:polite", answers("please", "now")) == [1.0, 0.0]
    assert earned("function:my_checks:right", answers("Yes")) == [2.7]


@pytest.mark.usefixtures("functions")
def test_a_function_that_fails_or_gives_no_number_is_named_with_the_answer() -> None:
    with pytest.raises(UserError, match=r"row 'r0', answer 'a': reward function my_checks:broken failed: ZeroDivisionError"):
        earned("function:my_checks:broken", answers("a"))
    with pytest.raises(UserError, match=r"row 'r1', answer 'b': reward function:my_checks:not_a_number gave nan"):
        earned("function:my_checks:not_a_number", answers("a", "b"))
    with pytest.raises(UserError, match="has no attribute 'nothing'"):
        build_reward(parse_reward_spec("function:my_checks:nothing"), run_of())


@pytest.mark.usefixtures("functions")
def test_a_function_that_never_returns_is_ended_and_told() -> None:
    reward = UserFunctionReward("my_checks:slow", run_of(), seconds=0.5)
    assert reward.score(answers("a", "for ever", "b")).tolist() == [1.0, 0.0, 1.0]
    assert CompositeReward({"function:my_checks:slow": (1.0, reward)}).summary_lines() == [
        "1 answers took function:my_checks:slow too long to score; each earned 0."
    ]


@pytest.mark.usefixtures("functions")
def test_programs_that_a_function_starts_disturb_nothing() -> None:
    assert earned("function:my_checks:runs_programs", answers("a", "b")) == [1.0, 1.0]


@pytest.mark.usefixtures("functions")
def test_a_program_that_a_function_waits_for_ends_with_it(tmp_path: Path) -> None:
    reward = UserFunctionReward("my_checks:waits_for_a_program", run_of(), seconds=0.5)
    assert reward.score(answers(str(tmp_path / "number"))).tolist() == [0.0]
    number = (tmp_path / "number").read_text().strip()
    until = time.monotonic() + 120
    while state(number) not in ("", "Z") and time.monotonic() < until:
        time.sleep(0.01)
    assert state(number) in ("", "Z")  # gone, or dead and not yet taken away


@pytest.mark.usefixtures("functions")
def test_a_function_that_ends_with_no_answer_is_said_before_it_takes_hours() -> None:
    reward = UserFunctionReward("my_checks:slow", run_of(), seconds=0.1)
    with pytest.raises(UserError, match=r"my_checks:slow came to no end within 0\.1 seconds with any of the first 3 answers"):
        reward.score(answers(*["for ever"] * 9))


def test_a_pattern_that_comes_to_no_end_with_an_answer_earns_nothing_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_functions, "PATTERN_TIMEOUT_SECONDS", 0.1)
    endless = "ab" * 40 + "!"
    rewards = build_reward(parse_reward_spec("regex:'^(a|b|ab)+$', format:'(a|b|ab)+'"), run_of())
    found = rewards.score(answers("ab", endless)).by_part
    assert {name: values.tolist() for name, values in found.items()} == {"regex:^(a|b|ab)+$": [1, 0], "format:(a|b|ab)+": [1, 0]}
    assert rewards.summary_lines() == [f"1 answers took {name} too long to score; each earned 0." for name in found]


def test_lists_in_lists_without_end_are_no_json() -> None:
    assert earned("format:json", answers("[" * 100_000)) == [0.0]


@pytest.mark.usefixtures("functions")
def test_the_functions_process_ends_with_its_reward() -> None:
    reward = UserFunctionReward("my_checks:polite", run_of())
    number = reward._running_process().pid
    del reward
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert "my_checks" not in sys.modules


class Model:
    """A reward model that gives each answer its length times a factor."""

    def __init__(self, folder: Path) -> None:
        self.factor = float(folder.name)

    def score(self, prompts: Sequence[Any], texts: Sequence[str]) -> Any:
        assert [[turn["role"] for turn in turns] for turns in prompts] == [["user"]] * len(texts)
        return np.array([self.factor * len(text) for text in texts])


def test_a_reward_model_in_a_folder_is_read(tmp_path: Path) -> None:
    from preceptor.models.classifier import RewardModel, RewardTokenizer, prepare_reward_model

    base, folder = save_decoder("llama", tmp_path / "base"), tmp_path / "reward"
    reader = RewardTokenizer.from_base(base)
    prepare_reward_model(base, reader.tokenizer).save_pretrained(folder)
    reader.tokenizer.save_pretrained(folder)
    turns = [{"role": "user", "content": "ab"}]
    said = RewardModel(folder).score([turns, turns], ["one cat", "two"]).tolist()
    assert earned(f"model:{folder}*2", answers("one cat", "two")) == pytest.approx([2 * value for value in said])
    assert said[0] != said[1]
    rewards, rows = build_reward(parse_reward_spec(f"model:{folder}"), run_of()), [Answered("r1", {"prompt": "ab"}, {})]
    room = RewardModel(folder).max_answer_tokens(turns)
    assert RewardModel(folder).limit - room == len(reader.encode_conversation([*turns, {"role": "assistant", "content": ""}]))
    rewards.check(rows, room)
    with pytest.raises(UserError, match=rf"row 'r1': the reward model reads .* leaves {room:,} for an answer of {room + 1:,}"):
        rewards.check(rows, room + 1)
    with pytest.raises(UserError, match="is not a reward model"):
        build_reward(parse_reward_spec(f"model:{base}"), run_of())


def test_a_model_scores_and_several_give_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preceptor.models.classifier.RewardModel", Model)
    assert earned("model:2", answers("ab", "")) == [4.0, 0.0]
    low, spread = ModelReward("1+3", run_of()).score_with_spread(answers("ab", ""))
    assert spread.tolist() == pytest.approx([2 * 2**0.5, 0.0])
    assert low.tolist() == pytest.approx([4 - reward_functions.ENSEMBLE_PENALTY * 2 * 2**0.5, 0.0])
    doubt = build_reward(parse_reward_spec("model:1+3"), run_of()).score(answers("abcd", "ab", "")).disagreement
    assert doubt[0] > doubt[1] > doubt[2] == 0
    with pytest.raises(UserError, match="no model is named"):
        ModelReward("", run_of())
