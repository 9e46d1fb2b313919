"""A held-out judge of human preference: a reward model that the run isn't rewarded by."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.training.recipe import HeldOutAnswer
from tiny_models import save_decoder


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The folder of a reward model of random weights."""
    from preceptor.models.classifier import RewardTokenizer, prepare_reward_model

    folder = tmp_path_factory.mktemp("models")
    base = save_decoder("llama", folder / "base")
    reader = RewardTokenizer.from_base(base)
    prepare_reward_model(base, reader.tokenizer).save_pretrained(folder / "judge")
    reader.tokenizer.save_pretrained(folder / "judge")
    return folder / "judge"


@pytest.fixture
def measure(written, judge):
    from preceptor.runs.human_feedback import load_held_out_reward_model

    return load_held_out_reward_model(written, str(judge), {})


def test_it_measures_answers_with_an_interval_over_prompts(measure, judge):
    from preceptor.models.classifier import RewardModel

    written = [HeldOutAnswer(f"p-{n // 2}", {"prompt": f"What comes after {n // 2}?"}, f"It is {n}, and so on.") for n in range(12)]
    found = measure(written)["preference"]
    prompts = [[{"role": "user", "content": each.content["prompt"]}] for each in written]
    alone = RewardModel(judge).score(prompts, [each.text for each in written])
    assert found.value == pytest.approx(alone.mean())
    assert found.low < found.value < found.high
    assert found.n == 6  # prompts, not answers
    single = measure(written[:1])["preference"]
    assert np.isinf(single.high)
    with pytest.raises(UserError, match="given nothing to judge"):
        measure([])


def test_a_run_gets_it_and_is_another_run(written, snapshot, base, judge, monkeypatch):
    from preceptor.training import recipes

    seen, real = [], recipes.get("stand_in")

    def looking(run, options):
        seen.append(run)
        return real(run, options)

    looking.Options = real.Options
    monkeypatch.setitem(recipes._known, "stand_in", looking)
    plain = written.train("stand_in", snapshot=snapshot, base=base)
    judged = written.train("stand_in", snapshot=snapshot, base=base, monitor_model=str(judge))
    assert plain.id != judged.id
    assert [run.measure is None for run in seen] == [True, False]
    assert seen[0].folder != seen[1].folder


def test_who_rewards_cant_judge_and_who_is_no_reward_model_neither(written, snapshot, judge, tmp_path):
    decoder = save_decoder("llama", tmp_path / "writer")
    with pytest.raises(UserError, match="is not a reward model; train one on comparisons"):
        written.train("stand_in", snapshot=snapshot, base=decoder, monitor_model=str(decoder))
    with pytest.raises(UserError, match="is what the run is rewarded by"):
        written.train("stand_in", snapshot=snapshot, base=decoder, monitor_model=str(judge), rewards=f"model:{judge}*0.5")
