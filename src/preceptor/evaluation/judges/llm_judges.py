"""Judge with language models: rubric questions about a text, and pairs of answers shown in both orders.

An option chooser takes prompts and options and gives a probability of each option: from the probabilities that a local model gives to the
options (`LikelihoodChooser`), or from what any generative model writes (`GenerationChooser`). `RubricJudge` answers a yes-or-no question
about each text; `PairJudge` decides which of two answers is better. Asked in both orders, it shows how far the order decides
(`OrderedVerdicts`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.judges.judge import JudgeCase
from preceptor.generation.interface import OptionScorer, TextGenerator
from preceptor.statistics import estimate_mean
from preceptor.types import Estimate, FloatArray, json_digest

VERDICT_TOKENS = 12  # the token limit of a generated verdict


class OptionChooser(Protocol):
    """A model that chooses among options; equal prompts get equal rows.

    digest: of the model, by its weights or by its name where it is hosted. method: how it chooses, in words.
    """

    name: str
    digest: str
    method: str

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """Return the probability of each option after each prompt, (prompts, options).

        Rows sum to 1; a row of NaN where there is no verdict.
        """


class LikelihoodChooser:
    """Chooses by the options' probabilities after the prompt, normalized to sum to 1; the prefix shared by all prompts is computed once.

    A prompt longer than the model's context gets no verdict: a truncated text is another text.
    """

    method = "probabilities of the options"

    def __init__(self, provider: OptionScorer, digest: str) -> None:
        self.name, self.digest, self._provider = provider.name, digest, provider

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """Return the probability of each option after each prompt; see `OptionChooser`."""
        rendered = [self._provider.render([{"role": "user", "content": prompt}]) for prompt in prompts]
        chat = all(text is not None for text in rendered)
        texts = [text if text is not None else f"{prompt}\nAnswer:" for prompt, text in zip(prompts, rendered, strict=True)]
        given = list(options) if chat else [f" {option}" for option in options]
        fits = self._fits(texts, given)
        found = np.full((len(prompts), len(options)), np.nan)
        if len(fits):
            scores = self._provider.option_log_probabilities("", [texts[row] for row in fits], "", given)
            raised = np.exp(scores - scores.max(axis=1, keepdims=True))
            found[fits] = raised / raised.sum(axis=1, keepdims=True)
        return found

    def _fits(self, texts: Sequence[str], options: Sequence[str]) -> list[int]:
        provider: Any = self._provider
        context_length = getattr(provider, "context_length", None)
        if context_length is None:
            return list(range(len(texts)))
        room = context_length - max(provider.count_tokens(options))
        return [row for row, length in enumerate(provider.count_tokens(texts)) if length <= room]


class GenerationChooser:
    """Chooses by what the model generates, parsed as one of the options: certain, or no verdict.

    Answers of a hosted model are cached and paid for once. again: another number asks, and pays, again, to see whether the model still
    answers the same.
    """

    method = f"greedily, at most {VERDICT_TOKENS} tokens"

    def __init__(self, writer: TextGenerator, digest: str, *, again: int = 0) -> None:
        self.name, self.digest, self._writer, self._again = writer.name, digest, writer, again

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """Return 1 for the option that the model names after each prompt, and 0 for the others; see `OptionChooser`."""
        conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
        said = self._writer.write(conversations, max_tokens=VERDICT_TOKENS, seed=self._again)
        found = np.full((len(prompts), len(options)), np.nan)
        for row, text in enumerate(said):
            if (option := parse_verdict(text, options)) is not None:
                found[row] = np.eye(len(options))[option]
        return found


def parse_verdict(text: str, options: Sequence[str]) -> int | None:
    """Return the index of the option that a text names: the one that it begins with, else the only one in it.

    None where that can't be decided.
    """
    bare = text.strip().lstrip("*_#\"'`([").casefold()
    words = [re.compile(rf"(?<!\w){re.escape(option.casefold())}(?!\w)") for option in options]
    begins = [number for number, word in enumerate(words) if word.match(bare)]
    if begins:
        return begins[0]
    named = [number for number, word in enumerate(words) if word.search(bare)]
    return named[0] if len(named) == 1 else None


OrderRule = Literal["average", "consistent"]


@dataclass(frozen=True, eq=False)
class OrderedVerdicts:
    """The probability, according to a judge, that the first of two options is better, (pairs,) in [0, 1]; NaN where it gave no verdict.

    straight: with the first option shown first. swapped: with it shown second.
    """

    straight: FloatArray
    swapped: FloatArray

    def __post_init__(self) -> None:
        if self.straight.shape != self.swapped.shape:
            raise UserError(f"{len(self.straight)} verdicts in one order and {len(self.swapped)} in the other", "judge each pair in both")

    @property
    def judged(self) -> Any:
        """Which pairs have a verdict in both orders, (pairs,) of bool."""
        return ~np.isnan(self.straight) & ~np.isnan(self.swapped)

    @property
    def missing(self) -> int:
        """Number of pairs without a verdict in one of the orders, or in both."""
        return int((~self.judged).sum())

    def scores(self, rule: OrderRule = "average") -> FloatArray:
        """Return the preference for the first option, (pairs,) in [0, 1]; NaN where a verdict is missing.

        average: the mean of both orders. consistent: a win where both orders say so, else a tie.
        """
        if rule == "average":
            return (self.straight + self.swapped) / 2
        both = np.sign(self.straight - 0.5) + np.sign(self.swapped - 0.5)
        return np.asarray(np.where(self.judged, 0.5 + np.sign(both) * (np.abs(both) == 2) / 2, np.nan))

    def flip_rate(self, clusters: Any = None) -> Estimate:
        """Estimate how often the verdict flips when the order does, among pairs with both verdicts."""
        turned = np.sign(self.straight - 0.5) * np.sign(self.swapped - 0.5) < 0
        return _mean_of_judged(turned.astype(np.float64), self.judged, clusters)

    def first_place(self, clusters: Any = None) -> Estimate:
        """Estimate how often the verdict is for the option shown first, a tie being half: 0.5 where the order doesn't matter."""
        for_first = (np.sign(self.straight - 0.5) - np.sign(self.swapped - 0.5) + 2) / 4
        return _mean_of_judged(for_first, self.judged, clusters)


def _mean_of_judged(values: FloatArray, judged: Any, clusters: Any) -> Estimate:
    if not judged.any():
        raise UserError("the judge gave no verdict in both orders on any pair", "look at what it writes; take another model or question")
    return estimate_mean(values[judged], clusters=None if clusters is None else np.asarray(clusters)[judged])


PAIR_OPTIONS = ("A", "B")
PAIR_QUESTION = "Which answer is better?"
PAIR_PROMPT = """Two answers to the same request are shown. {question} The order in which they stand says nothing.

<request>
{prompt}
</request>

<answer A>
{first}
</answer A>

<answer B>
{second}
</answer B>

{question} Answer with one letter, A or B."""


@dataclass(frozen=True, slots=True)
class PairCase:
    """Two answers to a prompt."""

    prompt: str
    first: str
    second: str

    @property
    def swapped(self) -> PairCase:
        """The same pair in the other order."""
        return PairCase(self.prompt, self.second, self.first)

    @property
    def case(self) -> JudgeCase:
        """The pair as a judge of cases takes it: the first answer as text, the second as source, the prompt as context."""
        return JudgeCase(self.first, (self.second,), self.prompt)


class PairJudge:
    """A judge of pairs: its score of a case, made by `PairCase.case`, is the probability that the first answer is better.

    In that one order; `verdicts` asks in both. A `CaseJudge`; its digest changes with the question, the prompt template and the model.
    """

    def __init__(self, chooser: OptionChooser, question: str = PAIR_QUESTION) -> None:
        if not question.strip():
            raise UserError("a judge needs a question", f'for example "{PAIR_QUESTION}"')
        self.question, self._chooser = question.strip(), chooser
        self.name = chooser.name
        self.digest = json_digest(["pair", PAIR_PROMPT, PAIR_OPTIONS, self.question, chooser.digest])

    def scores(self, cases: Sequence[JudgeCase]) -> FloatArray:
        """Score each case in one order, (n,); see `CaseJudge`."""
        return self._chooser.choose([self.prompt(case) for case in cases], PAIR_OPTIONS)[:, 0]

    def verdicts(self, pairs: Sequence[PairCase]) -> OrderedVerdicts:
        """Judge each pair in both orders."""
        both = self.scores([pair.case for pair in pairs] + [pair.swapped.case for pair in pairs])
        return OrderedVerdicts(both[: len(pairs)], 1 - both[len(pairs) :])

    @property
    def record(self) -> dict[str, Any]:
        """What a report keeps, so that the same question can be asked again."""
        about = {"name": self.name, "digest": self.digest, "question": self.question, "form": PAIR_PROMPT, "options": list(PAIR_OPTIONS)}
        return {**about, "model": self._chooser.digest, "chooses": self._chooser.method}

    def prompt(self, case: JudgeCase) -> str:
        """Return the prompt that the model reads for a pair."""
        return PAIR_PROMPT.format(question=self.question, prompt=case.context, first=case.text, second=case.sources[0])


RUBRIC_OPTIONS = ("Yes", "No")
RUBRIC_PROMPT = """Read the text and answer one question about it with one word: Yes or No.

Question: {question}

{before}<text>
{text}
</text>

Question: {question}
Answer with one word, Yes or No."""


class RubricJudge:
    """A judge that answers a yes-or-no question about each text; scores are the probability of "Yes".

    A `CaseJudge`; its digest changes with the question, the prompt template and the model.
    """

    def __init__(self, question: str, chooser: OptionChooser) -> None:
        if not question.strip():
            raise UserError("a judge needs a question that yes or no answers", 'for example "Is everything in it supported by the source?"')
        self.question, self._chooser = question.strip(), chooser
        self.name = chooser.name
        self.digest = json_digest(["rubric", RUBRIC_PROMPT, RUBRIC_OPTIONS, self.question, chooser.digest])

    def scores(self, cases: Sequence[JudgeCase]) -> FloatArray:
        """Score each case, (n,); see `CaseJudge`."""
        return self._chooser.choose([self.prompt(case) for case in cases], RUBRIC_OPTIONS)[:, 0]

    @property
    def record(self) -> dict[str, Any]:
        """What a report keeps, so that the same question can be asked again."""
        about = {
            "name": self.name,
            "digest": self.digest,
            "question": self.question,
            "form": RUBRIC_PROMPT,
            "options": list(RUBRIC_OPTIONS),
        }
        return {**about, "model": self._chooser.digest, "chooses": self._chooser.method}

    def prompt(self, case: JudgeCase) -> str:
        """Return the prompt that the model reads for a case."""
        parts = [f"<conversation>\n{case.context}\n</conversation>\n\n"] if case.context else []
        parts += [f"<source {number}>\n{source}\n</source {number}>\n\n" for number, source in enumerate(case.sources, start=1)]
        return RUBRIC_PROMPT.format(question=self.question, before="".join(parts), text=case.text)
