"""What a run is rewarded by, as people write it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import Field

from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.training.rl.composite_reward import RewardSpec, parse_reward_spec


class Options(OptionsBase):
    rewards: RewardSpec = Field(description="what answers are rewarded by")


def said(given: object) -> list[tuple[str, float]]:
    return [(part.name, part.weight) for part in parse_reward_spec(given)]


def test_parts_stand_between_commas_with_their_weights() -> None:
    assert said("exact, regex:^Answer*0.5, length<=80, model:m-1+m-2*-2") == [
        ("exact", 1.0), ("regex:^Answer", 0.5), ("length<=80", 1.0), ("model:m-1+m-2", -2.0),
    ]  # fmt: skip


def test_quotes_keep_commas_and_stars_in_a_pattern() -> None:
    assert said("regex:'a{1,3}*2'*0.5, exact") == [("regex:a{1,3}*2", 0.5), ("exact", 1.0)]
    assert said('regex:"it\'s, or not"') == [("regex:it's, or not", 1.0)]


def test_a_form_weighs_a_tenth_unless_it_is_said_to_weigh_less() -> None:
    assert said("exact, format:json") == [("exact", 1.0), ("format:json", 0.1)]
    with pytest.raises(UserError, match=r"a form beside a content weighs 0\.1 at most"):
        parse_reward_spec("exact, format:json*0.5")


def test_a_list_of_strings_and_tables_is_the_same() -> None:
    assert parse_reward_spec(["exact", {"part": "regex", "of": "^a", "weight": 0.5}]) == parse_reward_spec("exact, regex:^a*0.5")


def test_what_was_read_is_read_again_from_json() -> None:
    options = Options.parse({"rewards": "exact, regex:'a,b'*0.5, format:json"}, of="the test")
    assert Options.parse(json.loads(options.model_dump_json()), of="the test") == options


@pytest.mark.parametrize("name", ["reward.toml", "reward.json"])
def test_a_file_holds_the_parts_and_its_paths_are_from_its_folder_on(tmp_path: Path, name: str) -> None:
    (tmp_path / "policy.toml").write_text("title = 'a policy'")
    tables = {
        "reward.toml": "[[reward]]\npart = 'policy'\nof = 'policy.toml'\nweight = 0.5\n[[reward]]\npart = 'exact'\n",
        "reward.json": json.dumps([{"part": "policy", "of": "policy.toml", "weight": 0.5}, {"part": "exact"}]),
    }
    (tmp_path / name).write_text(tables[name])
    policy, exact = parse_reward_spec(str(tmp_path / name))
    assert (policy.of, policy.weight, exact.part) == (str(tmp_path / "policy.toml"), 0.5, "exact")


def test_another_policy_under_the_same_name_is_another_spec(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("title = 'a policy'")
    before = parse_reward_spec(f"policy:{path}")
    path.write_text("title = 'another'")
    assert parse_reward_spec(f"policy:{path}") != before


def test_what_cannot_be_read_is_said(subtests):
    for given, message in [
        ("exat", "no part of a reward is called 'exat', did you mean 'exact'?"),
        ("exact,, regex:a", "can't be read from ', regex:a' on"),
        ("", "a reward without a part"),
        ([], "a reward without a part"),
        ("exact, exact*2", "names 'exact' twice"),
        ("exact*0", "has the weight 0"),
        (None, "None is no reward"),
        ({"part": "exact"}, "is no reward"),
        ([3], "3 is no part of a reward"),
        ([{"part": "exact", "wieght": 2}], "no option is called 'wieght', did you mean 'weight'?"),
        ("policy:nowhere.toml", "nowhere.toml: the policy's file can't be read"),
        ("nowhere.toml", "nowhere.toml: the reward's file can't be read"),
    ]:
        with subtests.test(given=given, message=message):
            with pytest.raises(UserError) as error:
                parse_reward_spec(given)
            assert message in str(error.value)


def test_a_file_without_a_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reward.toml"
    path.write_text("reward = 'exact'")
    with pytest.raises(UserError, match="holds no list of rewards"):
        parse_reward_spec(str(path))
    path.write_text("[[reward]")
    with pytest.raises(UserError, match="can't be read"):
        parse_reward_spec(str(path))


def test_a_function_that_was_mended_and_a_model_that_was_trained_anew_make_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    spec, seen = f"function:my.rules:polite, model:{tmp_path / 'model'}+m-1", []
    for text in ("old", "new", "old"):
        (tmp_path / "my" / "rules.py").write_text(f"# {text}")
        (tmp_path / "model" / "model.safetensors").write_text(text)
        seen.append([part.digest for part in parse_reward_spec(spec)])
    assert seen[0] == seen[2]
    assert all(old and new and old != new for old, new in zip(seen[0], seen[1], strict=True))
    assert parse_reward_spec("model:m-1, function:no_such_module:f")[0].digest == ""
