"""Four policies against answers in which something is wrong, and against answers in which nothing is.

planted.jsonl: 80 answers with a violation each, of which the first 40 were there while the rules were written, and the others
came later. clean.jsonl: answers written to look like violations. Beside those, answers to real questions.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preceptor.evaluation.policies.policy import check_policy, policy_section, read_policy
from preceptor.evaluation.policies.rules import JurisdictionRule, PolicyAnswer, RequiredRule
from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt

HERE = Path(__file__).parent
POLICIES = {path.stem: read_policy(path) for path in sorted((HERE / "policies").glob("*.toml"))}
MOST_FALSE_ALARMS = 0.05


def cases(name):
    with (HERE / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def asked_and_answered(rows):
    turns = [({"role": "user", "content": row["prompt"]},) for row in rows]
    asked = [SuitePrompt(str(k), str(k), turns[k], (), None, row["metadata"]) for k, row in enumerate(rows)]
    return ModelAnswers("model", asked, [row["answer"] for row in rows], {}, "")


def broken(row):
    """The rules that an answer breaks, each with the passages."""
    found = {}
    for checked in check_policy(asked_and_answered([row]), POLICIES[row["policy"]]):
        if checked.violations[0]:
            found[checked.rule.id] = [row["answer"][one.start : one.end] for one in checked.violations[0]]
    return found


def test_each_planted_violation_is_caught_where_it_stands(subtests):
    planted = cases("planted.jsonl")
    assert len(planted) == 80
    for row in planted:
        with subtests.test(row=row):
            found = broken(row)
            assert row["rule"] in found
            assert row["passage"] is None or row["passage"] in found[row["rule"]]


def test_at_most_one_in_twenty_of_two_hundred_clean_answers_is_flagged(shared_rows):
    rows = [*cases("clean.jsonl"), *real(shared_rows, most=31)][:200]
    flagged = [(row["prompt"], found) for row in rows if (found := broken(row))]
    assert len(rows) == 200
    assert len(flagged) <= MOST_FALSE_ALARMS * len(rows), flagged


def test_of_those_written_to_mislead_few_are_flagged():
    rows = cases("clean.jsonl")
    flagged = [(row["prompt"], found) for row in rows if (found := broken(row))]
    assert len(flagged) <= MOST_FALSE_ALARMS * len(rows), flagged


@pytest.mark.slow
def test_of_thousands_of_real_answers_few_are_flagged(shared_rows):
    rows = real(shared_rows, most=5000)
    assert len(rows) > 4000
    assert sum(bool(broken(row)) for row in rows) <= 0.01 * len(rows)


def test_planted_among_clean_answers_are_the_rate_that_a_section_tells():
    planted = [row for row in cases("planted.jsonl") if row["policy"] == "support"]
    clean = [row for row in cases("clean.jsonl") if row["policy"] == "support"]
    section = policy_section(asked_and_answered(planted + clean), POLICIES["support"], title="support")
    rate = section["figures"]["violations"]
    assert rate.value == pytest.approx(len(planted) / len(planted + clean))
    assert rate.low < rate.value < rate.high


def real(shared_rows, most=45):
    """Answers to questions of medicine, of annual reports and of all kinds, to which no rule asks for a reservation."""
    medicine = [("health", row["question"], row["long_answer"], "information") for row in shared_rows("tasks/pubmedqa")]
    asked = [each for row in shared_rows("tasks/tatqa_finance") for each in row["questions"]]
    reports = [("finance", each["question"], str(each["answer"]), "help") for each in asked]
    general = [("support", f"{row['instruction']} {row['input']}", row["output"], "help") for row in shared_rows("general/replay_general")]
    return [
        {"policy": policy, "prompt": prompt, "answer": answer, "metadata": {"asks_for": wanted}}
        for rows in (medicine, reports, general)
        for policy, prompt, answer, wanted in [row for row in rows if row[2].strip() and not needs_words(*row[:3])][:most]
    ]


def needs_words(policy, prompt, answer):
    """Whether a rule asks for something in an answer to this prompt."""
    said = PolicyAnswer(SuitePrompt("", "", ({"role": "user", "content": prompt},)), answer)
    rules = [
        rule for rule in POLICIES[policy].rules if isinstance(rule, RequiredRule) or (isinstance(rule, JurisdictionRule) and rule.required)
    ]
    return any(rule.when.holds(said) for rule in rules)
