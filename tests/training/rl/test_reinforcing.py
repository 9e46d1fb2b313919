"""Reinforcement from end to end, on a policy of random weights that babbles and is rewarded for some of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from preceptor.errors import UserError
from preceptor.models import load_causal, load_tokenizer
from preceptor.models.chat_template import build_conversation
from preceptor.models.parity import check_parity_stages
from preceptor.training import TrainingRun, recipes
from preceptor.training.rl.policy_gradient import prepare_policy
from preceptor.training.run_file import RunFile
from preceptor.types import Estimate
from tiny_models import Answers, made_snapshot, save_decoder, save_encoder

VOWELS = "regex:'[aeiou]'"
FAST = {
    "rewards": VOWELS, "max_new_tokens": 5, "num_generations": 6, "temperature": 2.0, "batch_size": 20, "epochs": 2, "learning_rate": 2e-2,
    "dtype": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def snapshot() -> Answers:
    return made_snapshot()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder("llama", tmp_path_factory.mktemp("bases") / "tiny-llama")


@pytest.fixture(scope="module")
def whole(snapshot: Answers, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that nothing interrupted, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train(TrainingRun(tmp_path_factory.mktemp("whole") / "run", base, snapshot, seed=3))
    finally:
        torch.set_num_threads(threads)


def train(run: TrainingRun, name: str = "grpo", **options: Any) -> Any:
    recipe = recipes.get(name)
    return recipe(run, recipe.Options.parse({**FAST, **options}, of=name))


@pytest.mark.parametrize(
    ("name", "options"), [("grpo", {}), ("grpo", {"loss_type": "grpo", "adapter": "none"}), ("rloo", {"adapter": "dora"})]
)
def test_the_reward_of_held_out_prompts_rises(snapshot, base, tmp_path, name, options):
    """A pattern that two in five answers have at first is in most of them after a dozen rounds."""
    told = []
    held = [replace(row, id=f"v{number}", group=f"g{number}") for number, row in enumerate(snapshot.validation * 5)]
    run = TrainingRun(tmp_path / "run", base, replace(snapshot, validation=held), seed=1, base_name="tiny", progress=told.append)
    model = train(run, name, epochs=4, **options)
    manifest = model.manifest
    change = Estimate.from_dict(manifest["reward"]["change"])
    assert change.low > 0.15
    assert Estimate.from_dict(manifest["reward"]["now"]).value == pytest.approx(
        Estimate.from_dict(manifest["reward"]["base"]).value + change.value
    )
    assert change.confidence == pytest.approx(1 - 0.05 / (len(manifest["looks"]) - 1))
    assert manifest["looks"][0]["step"] == 0
    assert manifest["looks"][0]["kl"] == pytest.approx(0, abs=1e-9)
    assert max(look["kl"] for look in manifest["looks"]) > 0
    assert manifest["groups"]["rounds"] == manifest["steps"] == 12
    assert {"recipe": name, "base": "tiny", "answers": [], "stopped": None}.items() <= manifest.items()
    assert "clearly up" in manifest["summary"][0]
    assert "No look was better" not in " ".join(manifest["summary"])
    assert {"reward", "kl", "length", "ended", "equal_groups", "texts_per_second"} <= told[-1].fields.keys()
    assert (model.path / "adapter").exists() == (options.get("adapter") != "none")
    assert str(tmp_path) not in "".join(path.read_text(errors="ignore") for path in model.path.rglob("*.json"))


def test_prompts_are_enough_unless_a_reward_needs_their_answers(snapshot, base, tmp_path):
    asked = replace(snapshot, train=[replace(row, target={}) for row in snapshot.train])
    nobody = replace(asked, validation=[replace(row, target={}) for row in snapshot.validation])
    assert train(TrainingRun(tmp_path / "run", base, nobody, seed=1), epochs=0.5).manifest["groups"]["rounds"]
    with pytest.raises(UserError, match=r"reward exact: 60 of 72 rows have no right answer") as refused:
        train(TrainingRun(tmp_path / "none", base, asked, seed=1), rewards="exact")
    assert refused.value.where == "row '1-0'"


def test_the_best_the_median_and_the_worst_answers_are_kept(whole):
    samples = whole.manifest["samples"]
    assert samples["best"][0]["reward"] >= samples["median"][0]["reward"] >= samples["worst"][0]["reward"]
    assert samples["best"][0]["parts"] == {"regex:[aeiou]": samples["best"][0]["reward"]}
    assert samples["best"][0]["prompt"].startswith("user: What comes after")
    each_look = sorted(int(path.stem) for path in (whole.path.parent / "samples").glob("*.json"))
    assert each_look == [look["step"] for look in whole.manifest["looks"]]


def test_what_is_saved_says_the_same_and_stops_where_it_learnt_to(snapshot, base, whole):
    kept = json.loads((whole.path / "parity.json").read_text())["rows"]
    rows = {row.id: build_conversation(row.content, next(iter(row.target))) for row in snapshot.validation if row.id in kept}
    assert all(stage.passed for stage in check_parity_stages(whole.path, rows, base=base))
    assert load_causal(whole.path).generation_config.eos_token_id == load_tokenizer(whole.path).convert_tokens_to_ids("<|im_end|>")
    again = RunFile.read(whole.path / "run.toml")
    assert recipes.get("grpo").Options.parse(again.options, of="grpo").rewards[0].of == "[aeiou]"


def test_a_killed_run_ends_with_the_same_weights(base, whole, tmp_path):
    here = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(here / "killed_writer.py"), "rl/test_reinforcing.py", "4", "5", str(tmp_path / "killed"), str(base)],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.split() == ["-9", "-9", "0"]
    survived = load_file(tmp_path / "killed" / "model" / "model.safetensors")
    for name, weights in load_file(whole.path / "model.safetensors").items():
        assert torch.allclose(weights, survived[name], atol=1e-6), name
    manifest = json.loads((tmp_path / "killed" / "model" / "manifest.json").read_text())
    assert manifest["groups"] == whole.manifest["groups"]
    assert manifest["samples"] == whole.manifest["samples"]


def test_a_finished_run_is_not_repeated_and_another_is_refused(snapshot, base, whole):
    run = TrainingRun(whole.path.parent, base, snapshot, seed=3, progress=pytest.fail)
    assert train(run) == whole
    with pytest.raises(UserError, match="options differ"):
        train(run, rewards="exact")


def test_what_is_drawn_is_what_is_trained(snapshot, base, tmp_path):
    """The ratio is 1 before the first update, and a policy that is sampled otherwise is refused."""
    objective = prepared(TrainingRun(tmp_path / "run", base, snapshot)).objective
    model = objective.create_model()
    rows = round_of(objective, model, snapshot)
    objective.check_sampling_gap(model, rows, 1e-4)
    with pytest.raises(UserError, match="drawn with other probabilities"):
        replace(objective, temperature=0.5).check_sampling_gap(model, rows, 0.05)


def test_pieces_of_a_round_add_up_to_its_loss(snapshot, base, tmp_path):
    objective = prepared(TrainingRun(tmp_path / "run", base, snapshot)).objective
    model = objective.create_model()
    rows = round_of(objective, model, snapshot)
    whole = objective.loss(model, objective.batch(rows, range(len(rows))))
    whole.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    parts = [objective.loss(model, objective.batch(rows, [row])) for row in range(len(rows))]
    sum(parts).backward()
    assert float(whole.detach()) == pytest.approx(float(sum(parts).detach()), abs=1e-6)
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            assert torch.allclose(gradients[name], weight.grad, atol=1e-6), name


def prepared(run: TrainingRun, **options: Any) -> Any:
    from preceptor.training.rl.policy_gradient import GRPOOptions, grpo_method

    found = GRPOOptions.parse({**FAST, **options}, of="grpo")
    return prepare_policy(run, found, "grpo", grpo_method(found))


def round_of(objective: Any, model: Any, snapshot: Answers) -> Any:
    from preceptor.models.causal_lm import ChatTokenizer
    from preceptor.training.rl.rollouts import build_policy_round, build_prompt_examples

    prompts = build_prompt_examples(snapshot.train[:4], ChatTokenizer(objective.base), room=5, split="train")
    answers = objective.sample_rollouts(model, prompts, choices=6, seed=0)
    return build_policy_round(answers, answers.scored.total, objective.method, 5).rows


class TestBadInput:
    def test_a_reward_that_never_differs(self, snapshot, base, tmp_path):
        with pytest.raises(UserError, match=r"the reward is 0 for every answer: in \d+ rounds of \d+ groups there was nothing to learn"):
            train(TrainingRun(tmp_path / "run", base, snapshot), rewards="regex:neversaid")

    def test_a_reward_that_is_no_number(self, snapshot, base, tmp_path, monkeypatch):
        (tmp_path / "nanreward.py").write_text("def score(text, content):\n    return float('nan')\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(UserError, match="reward function:nanreward:score gave nan"):
            train(TrainingRun(tmp_path / "run", base, snapshot), rewards="function:nanreward:score")

    def test_prompts_longer_than_the_window(self, snapshot, base, tmp_path):
        long = replace(snapshot.train[0], id="long", content={"prompt": "one " * 5000})
        marked = replace(snapshot.train[0], id="marked", content={"prompt": "a <|im_start|> b"})
        some = train(TrainingRun(tmp_path / "some", base, replace(snapshot, train=[*snapshot.train, long, marked])), epochs=1)
        assert some.manifest["left_out"] == {"train": {"window": 1, "marks": 1}}
        assert "2 of 62 training prompts were left out: 1 × the prompt holds special tokens" in " ".join(some.manifest["summary"])
        with pytest.raises(UserError, match="no prompt of the train split can be asked: 1 × prompt and answer"):
            train(TrainingRun(tmp_path / "all", base, replace(snapshot, train=[long])))

    def test_a_base_that_does_not_write(self, snapshot, tmp_path):
        with pytest.raises(UserError, match="not a causal model"):
            train(TrainingRun(tmp_path / "run", save_encoder("bert", tmp_path / "bert"), snapshot))

    def test_an_empty_split(self, snapshot, base, tmp_path):
        with pytest.raises(UserError, match="validation split is empty"):
            train(TrainingRun(tmp_path / "run", base, replace(snapshot, validation=[])))

    @pytest.mark.parametrize("seed", [-1, 2**32])
    def test_a_seed_that_no_generator_takes(self, snapshot, base, tmp_path, seed):
        with pytest.raises(UserError, match=f"the seed is {seed}; a whole number from 0 to 4,294,967,295"):
            TrainingRun(tmp_path / "run", base, snapshot, seed=seed)

    def test_options_are_checked(self):
        with pytest.raises(UserError, match="did you mean 'num_generations'"):
            recipes.get("rloo").Options.parse({"num_generation": 4}, of="rloo")
        with pytest.raises(UserError, match="greater than or equal to 2"):
            recipes.get("grpo").Options.parse({"num_generations": 1}, of="grpo")


def test_a_policy_that_is_carried_too_far_is_stopped_and_what_was_good_is_kept(snapshot, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, snapshot), epochs=6, beta=0, max_kl=3.0)
    assert model.manifest["stopped"]["sign"] == "budget"
    assert "the budget is 3" in " ".join(model.manifest["summary"])
    kept = {look["step"]: look for look in model.manifest["looks"]}[model.manifest["best_step"]]
    assert kept["kl"] <= 3.0 < model.manifest["looks"][-1]["kl"]


def test_where_the_guard_finds_nothing_to_keep_it_says_why_and_where_to_read(snapshot, base, tmp_path):
    run = TrainingRun(tmp_path / "run", base, snapshot)
    with pytest.raises(UserError, match=r"no model is kept: The policy is .* the budget is 0\.001") as error:
        train(run, max_kl=0.001)
    assert f"{run.folder / 'samples'}: read them, and take a smaller learning_rate" in str(error.value)
    assert {"0.json", "1.json"} <= {path.name for path in (run.folder / "samples").iterdir()}


def test_the_divergence_in_the_loss_holds_the_policy_near_its_base(snapshot, base, whole, tmp_path):
    near = train(TrainingRun(tmp_path / "near", base, snapshot, seed=3), beta=0.5)
    assert near.manifest["looks"][-1]["kl"] < 0.5 * whole.manifest["looks"][-1]["kl"]


def test_a_dry_run_says_what_would_be_asked(snapshot, base, tmp_path):
    recipe = recipes.get("grpo")
    marked = replace(snapshot.train[0], id="marked", content={"prompt": "a <|im_start|> b"})
    run = TrainingRun(tmp_path / "run", base, replace(snapshot, train=[*snapshot.train, marked]))
    seen = recipe.preview(run, recipe.Options.parse(FAST, of="grpo"))
    assert seen["rows"] == {"train": 60, "validation": 12}
    assert seen["answers"] == 2 * 60 * 6
    assert seen["left_out"]["train"] == {"marks": 1}
    assert "".join(token["text"] for token in seen["examples"][0]["tokens"]).endswith("<|im_start|>assistant\n")
    assert not (tmp_path / "run").exists()


def test_general_texts_tell_what_is_left_of_the_base_in_bfloat16_too(snapshot, base, tmp_path):
    from preceptor.types import MultipleChoiceItem, RetentionData

    texts = {f"t{n}": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is {n}."}] for n in range(9)}
    asked = [MultipleChoiceItem(f"q{n}", f"What is {n}?", ("one", "two"), n % 2) for n in range(6)]
    run = TrainingRun(tmp_path / "run", base, snapshot, general=RetentionData(texts, texts, {"made": asked}, "made texts"))
    manifest = train(run, epochs=1, dtype="bfloat16").manifest
    kept = manifest["retention"]
    assert manifest["dtype"] == "bfloat16"
    assert kept["texts"] == 9
    assert np.isfinite(kept["kept"]["value"])
    assert kept["suites"]["made"]["change"]["n"] == 6
