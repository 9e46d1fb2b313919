"""Correct rewards by human feedback in reinforcement learning: people are asked about answers whose reward is in doubt.

In doubt is an answer about which the reward's parts disagree, or which is rewarded highly and which the judge of human preference scores
low. People's answer is its reward from then on; what all their answers show about the reward's parts and about length is learnt (a ridge
regression, so that a few answers change little) and corrects all other rewards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from preceptor.formats.durable_files import atomic_write, read_json
from preceptor.statistics import estimate_proportion
from preceptor.training.recipe import (
    FeedbackAnswer,
    FeedbackPending,
    FeedbackRequest,
    FeedbackRequester,
    HeldOutAnswer,
    PreferenceEstimator,
    SampledAnswer,
)
from preceptor.training.rl.composite_reward import RewardScores, standardize_scores
from preceptor.types import FloatArray, json_digest

MAX_QUERIES, ROWS_PER_QUERY = 8, 2  # queries at a time; rows that the judge scores, for each of them
PRIOR_ANSWERS = 4.0  # the prior that the reward is right weighs as much as so many answers

QueryKind = Literal["good", "compare"]
QUERY_KINDS: tuple[QueryKind, ...] = get_args(QueryKind)


@dataclass(frozen=True)
class RewardQuery:
    """What people are asked: about one answer of a row, or two to compare.

    at: the step of the query. row, content, texts, rewards: of the answers. features: of each answer, see `_answer_features`. priority:
    higher comes first. said: the probability that it is good, or that the first is better; None as long as nobody has answered. came: the
    step at which the answer was collected.
    """

    id: str
    at: int
    kind: QueryKind
    row: str
    content: Mapping[str, Any]
    texts: Sequence[str]
    rewards: Sequence[float]
    features: Sequence[Sequence[float]]
    priority: float
    said: float | None = None
    came: int | None = None

    @property
    def request(self) -> FeedbackRequest:
        """The query as a feedback request."""
        return FeedbackRequest(self.id, {**self.content, "responses": list(self.texts)}, self.priority)


class RewardFeedback:
    """The queries of one run, kept in a file: after a kill the same are asked, and answers count from the same steps as before.

    ask: requests feedback from people. measure: the judge of human preference, where there is one; it is asked about one answer at a time.
    """

    def __init__(self, ask: FeedbackRequester, path: Path, measure: PreferenceEstimator | None = None) -> None:
        self._ask, self._path, self._measure, self._now = ask, path, measure, 0
        self._queries = [RewardQuery(**each) for each in read_json(path)] if path.exists() else []

    def collect_answers(self, step: int) -> None:
        """Collect what people have answered by now; raises FeedbackPending while more than half of the earlier queries are open."""
        self._now, chances = step, dict[str, float]()
        earlier = [put for put in self._queries if put.at <= step]  # a run that was killed may have asked more
        for kind in QUERY_KINDS:
            if waiting := [put for put in earlier if put.kind == kind and put.said is None]:
                answers = self._ask(kind, [put.request for put in waiting])
                said = {put.id: _answer_probability(answers[put.id]) for put in waiting if put.id in answers}
                chances |= {id_: chance for id_, chance in said.items() if chance is not None}
        self._queries = [replace(put, said=chances[put.id], came=step) if put.id in chances else put for put in self._queries]
        self._save()
        left = sum(put.at <= step and put.said is None for put in self._queries)
        if 2 * left > len(earlier):
            raise FeedbackPending(
                f"{left} of {len(earlier)} answers of the policy wait for people's word",
                "have them answer at /work, then start the same run again; it goes on from here",
            )

    def submit_queries(self, step: int, samples: Sequence[SampledAnswer], scored: RewardScores) -> None:
        """Queue the answers in doubt for people, the most doubtful first; after a resume the same ones, once."""
        if any(put.at == step for put in self._queries):
            return
        known = {put.id for put in self._queries}
        found = select_reward_queries(step, samples, scored, None)
        if self._measure is not None:  # it scores one answer at a time: only those of the likeliest rows
            likely = {put.row for put in found[: ROWS_PER_QUERY * MAX_QUERIES]}
            places = [place for place, sample in enumerate(samples) if sample.id in likely]
            fewer = [samples[place] for place in places]
            found = select_reward_queries(step, fewer, scored.select(places), self._judge_scores(fewer, self._measure))
        new = [put for put in found if put.id not in known][:MAX_QUERIES]
        self._queries += new
        self._save()
        for kind in QUERY_KINDS:
            if asked := [put.request for put in new if put.kind == kind]:
                self._ask(kind, asked)

    def corrected_rewards(self, samples: Sequence[SampledAnswer], scored: RewardScores) -> FloatArray:
        """Return the total reward of each answer, corrected by people's answers, (n,)."""
        answered = [put for put in self._queries if put.said is not None and put.came is not None and put.came <= self._now]
        if not answered:
            return scored.total
        correction = _RewardCorrection(answered)
        found = scored.total + correction.predict(_answer_features(samples, scored))
        judged = {(put.row, put.texts[0]): correction.reward_of(put.said or 0.0) for put in answered if put.kind == "good"}
        return np.array([judged.get((sample.id, sample.text), value) for sample, value in zip(samples, found, strict=True)])

    def summary_lines(self) -> list[str]:
        """Return sentences on how many queries were asked and answered, and how often people agreed with the reward."""
        said = [(put, put.said) for put in self._queries if put.said is not None]
        if not self._queries:
            return ["No answer was in doubt, so that people were asked nothing."]
        told = [f"{len(self._queries)} answers of the policy were put before people, and {len(said)} were judged in time."]
        apart = [(put, first) for put, first in said if put.kind == "compare" and first != 0.5 and put.rewards[0] != put.rewards[1]]
        if agreed := [float((first > 0.5) == (put.rewards[0] > put.rewards[1])) for put, first in apart]:
            told.append(
                f"In {sum(agreed):.0f} of {len(agreed)} comparisons they preferred what the reward prefers ({_format_share(agreed)})."
            )
        if good := [float(chance > 0.5) for put, chance in said if put.kind == "good"]:
            told.append(f"Of {len(good)} single answers {sum(good):.0f} were good ({_format_share(good)}).")
        return told

    def _judge_scores(self, samples: Sequence[SampledAnswer], measure: PreferenceEstimator) -> FloatArray:
        """Return the judge's score of each answer, (n,)."""
        found = [measure([HeldOutAnswer(sample.id, sample.content, sample.text)]) for sample in samples]
        return np.array([each[min(each)].value for each in found])

    def _save(self) -> None:
        with atomic_write(self._path, "w") as file:
            json.dump([asdict(put) for put in self._queries], file)


def select_reward_queries(step: int, samples: Sequence[SampledAnswer], scored: RewardScores, judge: FloatArray | None) -> list[RewardQuery]:
    """Select at most one query a row, the most doubtful first.

    A query asks whether the answer in doubt or another one to the same prompt is better or, where there is no other, whether it is good.
    Where the reward has one part and there is no judge, the answers that it scores highest are in doubt.
    """
    liked = standardize_scores(scored.total)
    suspicion = np.zeros(len(samples)) if judge is None else np.where(liked > 0, liked - standardize_scores(judge), 0.0).clip(min=0)
    doubt = scored.disagreement + suspicion
    priority = doubt if doubt.any() else liked
    features, found, rows = _answer_features(samples, scored), [], set[str]()
    for at in np.argsort(-priority, kind="stable"):
        first = samples[at]
        if first.id in rows or not first.text.strip():
            continue
        rows.add(first.id)
        other = _find_alternative(at, samples, scored, judge)
        of = [int(at)] if other is None else sorted((int(at), other), key=lambda each: json_digest([first.id, samples[each].text]))
        kind: QueryKind = "good" if other is None else "compare"
        texts = [samples[each].text for each in of]
        id_ = json_digest([kind, first.id, texts])[:16]
        rewards = [float(scored.total[each]) for each in of]
        about = [features[each].tolist() for each in of]
        found.append(RewardQuery(id_, step, kind, first.id, _prompt_content(first.content), texts, rewards, about, float(priority[at])))
    return found


def _find_alternative(at: int, samples: Sequence[SampledAnswer], scored: RewardScores, judge: FloatArray | None) -> int | None:
    """Return another answer to the same row, the one that differs most in reward, or by the judge; None where there is none."""
    by = scored.total if judge is None else judge
    others = [
        row for row, sample in enumerate(samples) if sample.id == samples[at].id and sample.text.strip() and sample.text != samples[at].text
    ]
    return max(others, key=lambda row: (abs(by[row] - by[at]), -row), default=None)


class _RewardCorrection:
    """Learn what people's answers show about the reward, as a linear function of an answer's features, in the reward's own unit.

    A good answer should earn a standard deviation more than the mean of those asked about, a bad one as much less; of two, the better one
    should earn at least a standard deviation more than the other.
    """

    def __init__(self, answered: Sequence[RewardQuery]) -> None:
        rewards = np.array([reward for put in answered for reward in put.rewards])
        features = np.array([each for put in answered for each in put.features])
        self._middle, self._spread = float(rewards.mean()), float(rewards.std()) or 1.0
        self._centre, width = features.mean(axis=0), features.std(axis=0)
        self._width = np.where(width > 0, width, np.inf)  # what doesn't vary corrects nothing
        rows, missing = zip(*map(self._row, answered), strict=True)
        table = np.array(rows)
        self._slopes = np.linalg.solve(table.T @ table + PRIOR_ANSWERS * np.eye(table.shape[1]), table.T @ np.array(missing))

    def predict(self, features: FloatArray) -> FloatArray:
        """Return the correction of each answer, (n,)."""
        return np.asarray(self._laid(features) @ self._slopes)

    def reward_of(self, good: float) -> float:
        """Return the reward of an answer that is good with this probability."""
        return self._middle + (2 * good - 1) * self._spread

    def _laid(self, features: FloatArray) -> FloatArray:
        return np.column_stack([np.ones(len(features)), (features - self._centre) / self._width])

    def _row(self, put: RewardQuery) -> tuple[FloatArray, float]:
        """Return a row of the regression, and by how much the reward falls short of people's answer."""
        laid, said = self._laid(np.array(put.features)), put.said or 0.0
        if put.kind == "good":
            return laid[0], self.reward_of(said) - put.rewards[0]
        wanted, has = (2 * said - 1) * self._spread, put.rewards[0] - put.rewards[1]
        agrees = wanted * has > 0 and abs(has) >= abs(wanted)
        return laid[0] - laid[1], 0.0 if agrees else wanted - has


def _answer_features(samples: Sequence[SampledAnswer], scored: RewardScores) -> FloatArray:
    """Return the features of each answer, (n, parts + 2): the total reward, each part's score, and its number of words."""
    return np.column_stack([scored.total, *scored.by_part.values(), [float(sample.word_count) for sample in samples]])


def _prompt_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people see above an answer: the prompt or the conversation, and its sources."""
    kept = {name: content[name] for name in ("prompt", "messages", "sources") if name in content}
    if "messages" in kept:
        turns = list(kept["messages"])
        while turns and turns[-1]["role"] == "assistant":
            turns.pop()
        kept["messages"] = turns
    return kept or {"prompt": str(content.get("text", ""))}


def _answer_probability(answer: FeedbackAnswer) -> float | None:
    """Return the probability that one is good, or that the first of two is better, a tie half; None for an answer that tells neither."""
    if isinstance(answer, str):
        answer = {answer: 1.0}
    if {"good", "bad"} & set(answer):
        return float(answer.get("good", 0.0))
    if {"0", "1", "tie"} & set(answer):
        return float(answer.get("0", 0.0) + 0.5 * answer.get("tie", 0.0))
    return None


def _format_share(values: Sequence[float]) -> str:
    found = estimate_proportion(sum(values), len(values))
    return f"{found.low:.0%} to {found.high:.0%}"
