"""Reward functions: exact match, patterns, length, reward models, project checks and a user's own function.

  exact                           whether the answer is what people gave as the row's answer
  length<=80, length>=20          whether an answer has at most, or at least, so many words
  regex:PATTERN                   whether the answer contains a pattern
  format:PATTERN                  whether the whole answer matches a pattern, or is JSON (`format:json`)
  policy:FILE                     whether the answer keeps a policy's rules
  claims                          how much of what the answer claims is supported by its sources
  model:ID, model:ID+ID+ID        the score of reward models, trained on people's preferences; of several, a lower bound
  function:MODULE:NAME            a custom function, `def score(text, content)` or `def score(text, content, target)`, returns a number

The project implements `policy` and `claims`, and passes a function for each to the run. A custom function runs in its own process, so that
a call that never returns can be ended; that is no sandbox.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import unicodedata
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import regex  # type: ignore[import-untyped]

from preceptor.errors import UserError
from preceptor.models.chat_template import build_conversation
from preceptor.training.recipe import SampledAnswer, TrainingRow, TrainingRun
from preceptor.types import FloatArray

MAX_INITIAL_TIMEOUTS = 3  # when so many first answers all take too long, the run ends


class RewardFunction(Protocol):
    """Scores answers; equal answers get equal scores, and higher is better."""

    def score(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return the score of each answer, (n,), every number finite."""
        ...


@dataclass
class TimeoutCounter:
    """Count the answers that a part took too long to score, each of which earned 0, and those it scored in time."""

    part: str
    seconds: float
    timeouts: int = 0
    scored: int = 0

    def add(self, sample: SampledAnswer) -> float:
        """Count a timeout and return the reward 0; raises UserError where none of the first answers was scored in time."""
        self.timeouts += 1
        if self.timeouts == MAX_INITIAL_TIMEOUTS and not self.scored:
            raise UserError(
                f"reward {self.part} came to no end within {self.seconds:g} seconds with any of the first {MAX_INITIAL_TIMEOUTS} answers",
                "mend it: it may take so long for a rare answer, not for all", where=sample.label,
            )  # fmt: skip
        return 0.0


class ExactReward:
    """Score the probability that the answer is right: what the row's target gives to the answers with the same normalised text.

    Where people disagreed, each of their answers earns its share.
    """

    def __init__(self, of: str, run: TrainingRun) -> None:
        if of:
            raise UserError(f"reward exact takes nothing, and {of!r} stands behind it", "exact, or exact*0.5")

    def check_answered(self, rows: Sequence[TrainingRow]) -> None:
        """Raise UserError where there are rows without an answer."""
        if lacking := [row.id for row in rows if not row.target]:
            raise UserError(
                f"reward exact: {len(lacking):,} of {len(rows):,} rows have no right answer", "have people answer them, or leave exact out",
                where=f"row {lacking[0]!r}",
            )  # fmt: skip

    def score(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return the probability that each answer is right, (n,); raises UserError for a row without an answer."""
        return np.array([self._probability(sample) for sample in samples])

    def _probability(self, sample: SampledAnswer) -> float:
        if not sample.target:
            raise UserError("reward exact: the row has no right answer", "a snapshot of a question that people answer", where=sample.label)
        said = normalize_answer(sample.text)
        return float(min(1.0, sum(share for answer, share in sample.target.items() if normalize_answer(answer) == said)))


def normalize_answer(text: str) -> str:
    """Normalise a text for comparison: case-folded, space of all kinds as one, no punctuation at its ends, Unicode NFKC."""
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    start, stop = 0, len(words)
    while start < stop and not words[start].isalnum():
        start += 1
    while stop > start and not words[stop - 1].isalnum():
        stop -= 1
    return words[start:stop] or words


_LENGTH_BOUND = re.compile(r"(?P<side>[<>]=)\s*(?P<words>\d+)")


class LengthReward:
    """Score 1 where the number of words keeps the bound, else 0; an answer without a word keeps none, or silence would be rewarded."""

    def __init__(self, bound: str, run: TrainingRun) -> None:
        found = _LENGTH_BOUND.fullmatch(bound.strip())
        if found is None:
            raise UserError(f"reward length: {bound!r} is no bound", "length<=80, or length>=20, in words")
        self._at_most, self._words = found["side"] == "<=", int(found["words"])

    def score(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return whether each answer keeps the bound, 1 or 0, (n,)."""
        return np.array([float(self._keeps(sample.word_count)) for sample in samples])

    def _keeps(self, words: int) -> bool:
        return words > 0 and (words <= self._words if self._at_most else words >= self._words)


PATTERN_TIMEOUT_SECONDS = 1.0  # for one answer: nested repetition can backtrack for ever


class RegexReward:
    """Score 1 where the answer contains a regular expression (Python's, case-sensitive), else 0.

    timeouts: counts the answers that it took too long for.
    """

    def __init__(self, pattern: str, run: TrainingRun) -> None:
        self._pattern, self.timeouts = compile_pattern(pattern, "regex"), TimeoutCounter(f"regex {pattern!r}", PATTERN_TIMEOUT_SECONDS)

    def score(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return whether each answer contains the pattern, 1 or 0, (n,)."""
        return np.array([_match_in_time(self._pattern.search, sample, sample.text, self.timeouts) for sample in samples])


class FormatReward:
    """Score 1 where a completed answer is, from end to end, JSON (`format:json`) or a match of a regular expression; else 0."""

    def __init__(self, form: str, run: TrainingRun) -> None:
        self._pattern = None if form == "json" else compile_pattern(form, "format")
        self.timeouts = TimeoutCounter(f"format {form!r}", PATTERN_TIMEOUT_SECONDS)

    def score(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return whether each answer has the format, 1 or 0, (n,)."""
        return np.array([self._fits(sample, sample.text.strip()) if sample.ended else 0.0 for sample in samples])

    def _fits(self, sample: SampledAnswer, text: str) -> float:
        return float(_is_json(text)) if self._pattern is None else _match_in_time(self._pattern.fullmatch, sample, text, self.timeouts)


def compile_pattern(pattern: str, part: str) -> Any:
    """Compile a pattern whose dot matches line ends too; raises UserError where it is invalid, or matches the empty answer."""
    try:
        found = regex.compile(pattern, regex.DOTALL)
    except regex.error as error:
        raise UserError(f"reward {part}: {pattern!r} is no regular expression: {error}", "mend the pattern") from None
    if found.search("") if part == "regex" else found.fullmatch(""):
        raise UserError(f"reward {part}: {pattern!r} matches the empty answer, and so rewards nothing", f"{part}:'^Answer: '")
    return found


def _match_in_time(match: Callable[..., Any], sample: SampledAnswer, text: str, late: TimeoutCounter) -> float:
    """Return whether the pattern matches, 1 or 0; the package `regex` supports a timeout, and Python's own doesn't."""
    try:
        found = match(text, timeout=PATTERN_TIMEOUT_SECONDS)
    except TimeoutError:
        return late.add(sample)
    late.scored += 1
    return float(found is not None)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or nested too deeply
        return False
    return True


class ProjectCheckReward:
    """Score answers by the run's check of this name, in [0, 1]."""

    def __init__(self, name: str, of: str, run: TrainingRun) -> None:
        if name not in run.checks:
            raise UserError(f"reward {name}: this run can't check it", "train through a project, which can: project.train(…)")
        self._check = run.checks[name](of)

    def score(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return the check's score of each answer, (n,)."""
        return self._check(samples)


def project_check_factory(name: str) -> Callable[[str, TrainingRun], ProjectCheckReward]:
    """Return the constructor of the reward of this name."""
    return lambda of, run: ProjectCheckReward(name, of, run)


ENSEMBLE_PENALTY = 1.0  # standard deviations below the mean of several models: where they differ they are unreliable (Coste et al. 2024)


class ModelReward:
    """Score answers by the log-odds of a reward model; of several the mean less `ENSEMBLE_PENALTY` standard deviations over them."""

    def __init__(self, names: str, run: TrainingRun) -> None:
        from preceptor.models.classifier import RewardModel

        if not (wanted := [name.strip() for name in names.split("+") if name.strip()]):
            raise UserError("reward model: no model is named", "model:m-1a2b, or model:FIRST+SECOND for a lower bound of both")
        self._models = [RewardModel(run.folder_of(name)) for name in wanted]

    def check_prompt_length(self, rows: Sequence[TrainingRow], tokens: int) -> None:
        """Raise UserError for a row whose prompt a model can't read with an answer of `tokens` tokens, which would end the run later."""
        from preceptor.models.chat_template import RenderError

        for model, row in product(self._models, rows):
            try:
                room = model.max_answer_tokens(build_conversation(row.content, "")[:-1])
            except RenderError as refused:
                raise UserError(
                    f"the reward model can't read the prompt: {refused}", "leave the row out", where=f"row {row.id!r}"
                ) from None
            if room < tokens:
                raise UserError(
                    f"the reward model reads {model.limit:,} tokens, and the prompt leaves {max(room, 0):,} for an answer of {tokens:,}",
                    "leave the row out, or take fewer max_new_tokens or a reward model that reads more", where=f"row {row.id!r}",
                )  # fmt: skip

    def score(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return the score of each answer, (n,)."""
        return self.score_with_spread(samples)[0]

    def score_with_spread(self, samples: Sequence[SampledAnswer]) -> tuple[FloatArray, FloatArray]:
        """Return the scores, and the standard deviation over the models for each, both (n,)."""
        prompts = [build_conversation(sample.content, "")[:-1] for sample in samples]
        texts = [sample.text for sample in samples]
        said = np.array([model.score(prompts, texts) for model in self._models], dtype=np.float64)
        if len(said) == 1:
            return said[0], np.zeros(len(samples))
        spread = said.std(axis=0, ddof=1)
        return np.asarray(said.mean(axis=0) - ENSEMBLE_PENALTY * spread), np.asarray(spread)


FUNCTION_TIMEOUT_SECONDS = 10.0  # for one answer; one that takes longer earns 0, since answers can make a check run for ever
IMPORT_TIMEOUT_SECONDS = 120.0  # to import the function's module
_WORKER = Path(__file__).with_name("reward_worker.py")


class UserFunctionReward:
    """Score answers by a custom function, in a process of its own.

    timeouts: counts the answers for which it didn't return in time.
    """

    def __init__(self, name: str, run: TrainingRun, seconds: float = FUNCTION_TIMEOUT_SECONDS) -> None:
        module, sign, function = name.partition(":")
        if not (module and sign and function):
            raise UserError(f"reward function: {name!r} names no function", "function:MODULE:NAME, as in function:checks:is_polite")
        self.name, self.seconds, self.timeouts = name, seconds, TimeoutCounter(f"function {name}", seconds)
        self._process: subprocess.Popen[bytes] | None = None
        self._running_process()  # a wrong name is reported before anything is trained

    def score(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return what the function returns for each answer, (n,), 0 after a timeout; raises UserError where it fails."""
        return np.array([self._score(sample) for sample in samples])

    def _score(self, sample: SampledAnswer) -> float:
        process = self._running_process()
        assert process.stdin is not None
        asked = json.dumps([sample.text, dict(sample.content), dict(sample.target)], default=str)
        process.stdin.write(asked.encode() + b"\n")
        process.stdin.flush()
        reply = _read_reply(process, self.seconds)
        if reply is None:
            _kill_process(process)
            self._process = None
            return self.timeouts.add(sample)
        if "fault" in reply:
            raise UserError(f"reward function {self.name} failed: {reply['fault']}", "mend the function", where=sample.label)
        self.timeouts.scored += 1
        return float(reply["score"])

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        path = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])
        process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), self.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip
        weakref.finalize(self, _kill_process, process)
        reply = _read_reply(process, IMPORT_TIMEOUT_SECONDS)
        if reply is None or "fault" in reply:
            _kill_process(process)
            why = reply["fault"] if reply else "its module can't be imported"
            raise UserError(f"reward function {self.name}: {why}", "MODULE is looked up from the current folder on")
        self._process = process
        return process


def _read_reply(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any] | None:
    """Return the process's next line; None where it doesn't come in time. A process that ended is reported as a fault."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], seconds)[0]:
        return None
    line = process.stdout.readline()
    return dict(json.loads(line)) if line else {"fault": f"its process ended with {process.wait()}"}


def _kill_process(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with all that the function started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
