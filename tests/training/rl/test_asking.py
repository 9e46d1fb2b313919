"""People's word on answers in doubt: what they are asked, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.training.recipe import FeedbackAnswer, FeedbackKind, FeedbackPending, FeedbackRequest, HeldOutAnswer, SampledAnswer
from preceptor.training.rl.composite_reward import RewardScores
from preceptor.training.rl.reward_correction import MAX_QUERIES, RewardFeedback, select_reward_queries

LENGTHS = (2, 5, 9, 14)


def pool(seed: int, rows: int = 20) -> list[SampledAnswer]:
    """Answers of different lengths to each row, no text twice."""
    random = np.random.default_rng(seed)
    return [
        SampledAnswer(
            f"r{row}", {"prompt": f"Say {row}.", "responses": ["an old draft"]}, " ".join(["word"] * (length - 1) + [f"{seed}.{row}"])
        )
        for row in range(rows)
        for length in random.permutation(LENGTHS)
    ]


def longer_is_better(samples: Sequence[SampledAnswer]) -> RewardScores:
    length = np.array([float(sample.word_count) for sample in samples])
    return RewardScores(length, {"length": length}, np.zeros(len(samples)))


class People:
    """They like what is short, and remember what they were asked."""

    def __init__(self, share: float = 1.0) -> None:
        self.share, self.asked = share, dict[str, tuple[FeedbackKind, FeedbackRequest]]()

    def __call__(self, kind: FeedbackKind, asked: Sequence[FeedbackRequest]) -> Mapping[str, FeedbackAnswer]:
        self.asked |= {each.id: (kind, each) for each in asked}
        done = [each for each in asked if int(each.id, 16) % 100 < 100 * self.share]
        return {each.id: self._say(kind, [len(text.split()) for text in each.content["responses"]]) for each in done}

    def _say(self, kind: FeedbackKind, words: Sequence[int]) -> FeedbackAnswer:
        if kind == "good":
            return {"good": 0.9, "bad": 0.1} if words[0] < 6 else {"good": 0.05, "bad": 0.95}
        return {"0": 0.9, "1": 0.1} if words[0] < words[1] else {"0": 0.1, "1": 0.9}


def judge(written: Sequence[HeldOutAnswer]) -> Mapping[str, Estimate]:
    words = np.array([len(each.text.split()) for each in written])
    return {"preference": Estimate(float(-words.mean()), -np.inf, np.inf, len(written), "a stand-in")}


def words_of(texts: Sequence[str]) -> list[int]:
    return sorted(len(text.split()) for text in texts)


def test_without_a_second_voice_the_rewards_favourites_are_held_against_what_it_likes_least_one_a_row() -> None:
    samples = pool(0)
    found = select_reward_queries(0, samples, longer_is_better(samples), None)
    assert [put.row for put in found] == list(dict.fromkeys(put.row for put in found))
    assert {(put.kind, *words_of(put.texts)) for put in found} == {("compare", 2, 14)}


def test_an_answer_that_only_the_reward_likes_is_held_against_one_that_the_judge_likes() -> None:
    samples = pool(0)
    liked = np.array([{2: 0.0, 5: 9.0, 9: 1.0, 14: -1.0}[sample.word_count] for sample in samples])
    found = select_reward_queries(0, samples, longer_is_better(samples), liked)
    assert (found[0].kind, words_of(found[0].texts)) == ("compare", [5, 14])


def test_a_single_answer_is_asked_about_alone_and_an_empty_one_never() -> None:
    samples = [
        SampledAnswer("r", {"prompt": "a"}, "one"),
        SampledAnswer("r", {"prompt": "a"}, "one"),
        SampledAnswer("s", {"prompt": "a"}, " "),
    ]
    found = select_reward_queries(0, samples, longer_is_better(samples), None)
    assert [(put.kind, put.row, put.texts) for put in found] == [("good", "r", ["one"])]


def test_where_voices_differ_two_answers_are_compared_in_an_order_that_tells_nothing() -> None:
    samples = pool(0)
    scored = longer_is_better(samples)
    doubt = np.array([float(sample.word_count == 9) for sample in samples])
    found = select_reward_queries(0, samples, RewardScores(scored.total, scored.by_part, doubt), None)
    compared = [put for put in found if put.priority > 0]
    assert len(compared) == 20
    assert {put.kind for put in compared} == {"compare"}
    assert all(sorted(len(text.split()) for text in put.texts) == [2, 9] for put in compared)
    first = sum(len(put.texts[0].split()) == 9 for put in compared)
    assert 0 < first < 20


def test_people_see_the_prompt_and_the_answer_and_no_earlier_draft(tmp_path: Path) -> None:
    samples, people = pool(0), People()
    RewardFeedback(people, tmp_path / "in-doubt.json").submit_queries(10, samples, longer_is_better(samples))
    assert len(people.asked) == MAX_QUERIES
    for kind, asked in people.asked.values():
        assert kind == "compare"
        assert set(asked.content) == {"prompt", "responses"}
        assert set(asked.content["responses"]) <= {sample.text for sample in samples}


def test_a_conversation_is_shown_up_to_the_answer() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "an old answer"}]
    samples = [SampledAnswer("r", {"messages": turns}, "new"), SampledAnswer("s", {"text": "Say it."}, "newer")]
    found = select_reward_queries(0, samples, longer_is_better(samples), None)
    assert {put.row: put.request.content for put in found} == {
        "r": {"messages": turns[:1], "responses": ["new"]},
        "s": {"prompt": "Say it.", "responses": ["newer"]},
    }


def test_nothing_changes_before_people_have_answered(tmp_path: Path) -> None:
    samples, people = pool(0), People()
    asking, scored = RewardFeedback(people, tmp_path / "in-doubt.json"), longer_is_better(samples)
    asking.submit_queries(10, samples, scored)
    assert asking.corrected_rewards(samples, scored).tolist() == scored.total.tolist()


def test_peoples_word_is_the_reward_of_what_they_saw_and_corrects_what_is_like_it(tmp_path: Path) -> None:
    people = People()
    asking = RewardFeedback(people, tmp_path / "in-doubt.json", judge)
    for step in (10, 20, 30, 40):
        samples = pool(step)
        asking.submit_queries(step, samples, longer_is_better(samples))
        asking.collect_answers(step)
    fresh = pool(99)
    scored = longer_is_better(fresh)
    corrected = asking.corrected_rewards(fresh, scored)
    slopes = [np.polyfit(scored.total, values, 1)[0] for values in (scored.total, corrected)]
    assert slopes[0] == pytest.approx(1.0)
    assert slopes[1] < 0.3  # most of what longer answers gained by their length is gone


def test_an_answer_that_people_saw_alone_earns_what_they_said_of_it(tmp_path: Path) -> None:
    samples = [SampledAnswer(f"r{words}", {"prompt": "a"}, " ".join(["word"] * words)) for words in range(1, 9)]
    asking, scored = RewardFeedback(People(), tmp_path / "in-doubt.json"), longer_is_better(samples)
    asking.submit_queries(10, samples, scored)
    asking.collect_answers(10)
    corrected = asking.corrected_rewards(samples, scored)
    middle, spread = scored.total.mean(), scored.total.std()
    assert corrected.tolist() == pytest.approx([middle + 0.8 * spread] * 5 + [middle - 0.9 * spread] * 3)


def test_people_who_agree_with_the_reward_leave_it_as_it_is(tmp_path: Path) -> None:
    def agree(kind: FeedbackKind, asked: Sequence[FeedbackRequest]) -> Mapping[str, FeedbackAnswer]:
        return {
            each.id: {"0" if words_of(each.content["responses"])[-1] == len(each.content["responses"][0].split()) else "1": 1.0}
            for each in asked
        }

    asking = RewardFeedback(agree, tmp_path / "in-doubt.json")
    samples = pool(0)
    scored = longer_is_better(samples)
    asking.submit_queries(10, samples, scored)
    asking.collect_answers(10)
    fresh = pool(1)
    corrected = asking.corrected_rewards(fresh, longer_is_better(fresh))
    assert corrected.tolist() == pytest.approx(longer_is_better(fresh).total.tolist())


def test_a_run_waits_while_most_are_open_and_goes_on_later(tmp_path: Path) -> None:
    people, samples = People(share=0.0), pool(0)
    asking = RewardFeedback(people, tmp_path / "in-doubt.json")
    asking.submit_queries(10, samples, longer_is_better(samples))
    with pytest.raises(FeedbackPending, match=rf"{MAX_QUERIES} of {MAX_QUERIES} answers of the policy wait for people's word"):
        asking.collect_answers(10)
    people.share = 1.0
    again = RewardFeedback(people, tmp_path / "in-doubt.json")
    again.collect_answers(10)
    assert again.summary_lines()[0] == f"{MAX_QUERIES} answers of the policy were put before people, and {MAX_QUERIES} were judged in time."
    assert again.summary_lines()[1].startswith(f"In 0 of {MAX_QUERIES} comparisons they preferred what the reward prefers (0% to")


def test_a_run_that_goes_on_asks_the_same_once_and_has_at_each_step_what_it_had(tmp_path: Path) -> None:
    people, path = People(), tmp_path / "in-doubt.json"
    asking = RewardFeedback(people, path)
    courses: list[Any] = []
    for step in (10, 20):
        samples = pool(step)
        asking.submit_queries(step, samples, longer_is_better(samples))
        asking.collect_answers(step)
        courses.append(asking.corrected_rewards(pool(99), longer_is_better(pool(99))).tolist())
    asked = dict(people.asked)
    again = RewardFeedback(people, path)  # killed, and gone on from step 10
    again.collect_answers(10)
    assert again.corrected_rewards(pool(99), longer_is_better(pool(99))).tolist() == courses[0]
    again.submit_queries(20, pool(20), longer_is_better(pool(20)))
    again.collect_answers(20)
    assert again.corrected_rewards(pool(99), longer_is_better(pool(99))).tolist() == courses[1]
    assert people.asked == asked


def test_comparisons_count_half_for_a_tie_and_nothing_else_counts(tmp_path: Path) -> None:
    def unsure(kind: FeedbackKind, asked: Sequence[FeedbackRequest]) -> Mapping[str, FeedbackAnswer]:
        return {each.id: {"tie": 1.0} if int(each.id, 16) % 4 else "what's this?" for each in asked}

    samples = pool(0)
    scored = longer_is_better(samples)
    doubtless = RewardScores(scored.total, scored.by_part, np.array([float(sample.word_count == 9) for sample in samples]))
    asking = RewardFeedback(unsure, tmp_path / "in-doubt.json")
    asking.submit_queries(10, samples, doubtless)
    asking.collect_answers(10)
    corrected = asking.corrected_rewards(samples, doubtless)
    assert np.polyfit(scored.total, corrected, 1)[0] < 1  # equal to people, so that length counts for less


def test_how_often_people_sided_with_the_reward_is_told_of_sure_words_too(tmp_path: Path) -> None:
    asking = RewardFeedback(
        lambda kind, asked: {each.id: {"0": float(len(each.content["responses"][0].split()) == 14)} for each in asked}, tmp_path / "a"
    )
    samples = pool(0)
    asking.submit_queries(10, samples, longer_is_better(samples))
    asking.collect_answers(10)
    assert asking.summary_lines()[1].startswith(f"In {MAX_QUERIES} of {MAX_QUERIES} comparisons they preferred what the reward prefers")


def test_nothing_in_doubt_is_said(tmp_path: Path) -> None:
    assert RewardFeedback(People(), tmp_path / "in-doubt.json").summary_lines() == [
        "No answer was in doubt, so that people were asked nothing."
    ]
