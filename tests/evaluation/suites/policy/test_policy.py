"""A policy's file, each kind of rule, and the section that a report gets."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.evaluation.policies import rules
from preceptor.evaluation.policies.policy import check_policy, parse_policy, policy_section, read_policy
from preceptor.evaluation.release_bounds import ReleaseBound, decide_release

NAMES = '[[rule]]\nid = "rivals"\nkind = "terms"\ntitle = "Names no rival"\nterms = ["Zendesk"]\n'
ATTACKS = (
    '[[rule]]\nid = "attacks"\nkind = "must_refuse"\ntitle = "Refuses"\nseverity = "high"\nwhen = { metadata = { kind = "attack" } }\n'
)
HELPS = '[[rule]]\nid = "helps"\nkind = "must_answer"\ntitle = "Helps"\nwhen = { metadata = { kind = ["help", "chat"] } }\n'


def policy(*rules, title="P"):
    return parse_policy(tomllib.loads(f'title = "{title}"\n' + "\n".join(rules)))


def rule(kind, **options):
    return {"title": "P", "rule": [{"id": "r", "kind": kind, "title": "t", **options}]}


def broken(answers, values, *texts, **more):
    (checked,) = check_policy(answers(list(texts), **more), parse_policy(values))
    return [[(text[found.start : found.end], found.note) for found in row] for row, text in zip(checked.violations, texts, strict=True)]


class Fixed:
    """A judge that gives what it was told, and remembers what it was shown."""

    name, digest = "fixed", "0"

    def __init__(self, *scores):
        self.given, self.cases = scores, []

    def scores(self, cases):
        self.cases = list(cases)
        return np.array(self.given[: len(cases)])


def test_a_bad_policy_is_told_with_the_rule_at_fault(tmp_path, subtests):
    for text, told in [
        ("", "a policy without a rule allows everything"),
        ("rules = []", "a policy has no 'rules', did you mean 'rule'?"),
        ('[[rule]]\nid = "a"\nkind = "term"', "rule 'a': no kind of rule is called 'term', did you mean 'terms'?"),
        ('[[rule]]\nid = "a"\nkind = ["terms"]', "rule 'a': no kind of rule is called ['terms']; kinds: "),
        ('[[rule]]\nid = "a"\nkind = "refuse"', "no kind of rule is called 'refuse', did you mean 'must_refuse'?"),
        ('[[rule]]\nkind = "terms"\ntitle = "x"\nterms = ["y"]', "options of rule 1: id: Field required"),
        (NAMES.replace("terms = [", "words = ["), "no option is called 'words'"),
        (NAMES.replace('["Zendesk"]', '["..."]'), "'...' holds no word"),
        (NAMES.replace('["Zendesk"]', "[]"), "should have at least 1 item"),
        (NAMES + 'severity = "huge"', "severity: Input should be 'low', 'medium' or 'high'"),
        (NAMES + 'when = { promt = "x" }', "when.promt"),
        (NAMES + NAMES, "two rules are called 'rivals'"),
        (ATTACKS.replace("when", "#"), "'attacks' must say which prompts it is about"),
        ('[[rule]]\nid = "a"\nkind = "regex"\ntitle = "x"\npatterns = ["(x"]', "not a regular expression: missing )"),
        ('[[rule]]\nid = "a"\nkind = "regex"\ntitle = "x"\npatterns = ["x*"]', "matches the empty text"),
        ('[[rule]]\nid = "a"\nkind = "required"\ntitle = "x"', "must say what it requires"),
        ('[[rule]]\nid = "a"\nkind = "required"\ntitle = "x"\ndisclaimers = ["not_legal"]', "did you mean 'not_legal_advice'?"),
        ('[[rule]]\nid = "a"\nkind = "personal_data"\ntitle = "x"\npii_kinds = ["fax"]', "pii_kinds.0"),
        ('[[rule]]\nid = "a"\nkind = "jurisdiction"\ntitle = "x"\nallowed = ["Germny"]', "did you mean 'Germany'?"),
        ('[[rule]]\nid = "a"\nkind = "jurisdiction"\ntitle = "x"', "must name a jurisdiction"),
        ("[[rule]", "can't be read"),
    ]:
        with subtests.test(text=text, told=told):
            path = tmp_path / "policy.toml"
            path.write_text(text, encoding="utf-8")
            with pytest.raises(UserError) as error:
                read_policy(path)
            assert told in str(error.value)
            assert "policy.toml" in str(error.value)
            assert error.value.hint


def test_the_digest_is_of_what_the_rules_say():
    assert policy(NAMES).digest == policy(NAMES + "# a remark").digest != policy(NAMES + 'severity = "low"').digest


def test_a_regex_is_searched_in_the_text_made_alike(answers):
    values = rule("regex", patterns=[r"\bsign the contract\b"])
    assert broken(answers, values, "Do SIGN the\ncontract!", "Design the contract.") == [
        [("SIGN the\ncontract", "“SIGN the\ncontract”")],
        [],
    ]
    assert broken(answers, rule("regex", patterns=["USD"], match_case=True), "USD or usd") == [[("USD", "“USD”")]]


def test_what_is_required_must_be_there_but_in_a_refusal(answers):
    values = rule("required", disclaimers=["not_legal_advice"], patterns=["ask a notary"], when={"prompt": "deed"})
    prompts = ["my deed", "my deed", "my deed", "my deed", "my dog"]
    texts = ["Sign it.", "Sign it. This isn't **legal\nadvice**.", "Ask a notary.", "I can't help with that.", "Feed it."]
    assert [len(found) for found in broken(answers, values, *texts, prompts=prompts)] == [1, 0, 0, 0, 0]
    strict = rule("required", disclaimers=["not_legal_advice"], in_refusals=True)
    assert broken(answers, strict, "I can't help with that.") == [[("", "it is missing")]]


def test_personal_data_that_the_prompt_held_may_be_said_again_where_the_policy_lets_it(answers):
    said = ["It goes to jo@mail.com and ann@mail.com."]
    prompts = ["Send it to JO@mail.com"]
    assert len(broken(answers, rule("personal_data"), *said, prompts=prompts)[0]) == 2
    assert broken(answers, rule("personal_data", from_prompt=True), *said, prompts=prompts) == [[("ann@mail.com", "email")]]


def test_jurisdictions_that_may_and_must_be_named(answers):
    may = rule("jurisdiction", allowed=["England"])
    texts = ["German law says no.", "English law says no.", "UK law says no.", "We ship to Germany."]
    assert broken(answers, may, *texts) == [[("German", "law of Germany")], [], [], []]
    must = rule("jurisdiction", required=["England", "Wales"])
    texts = ["In England, no.", "No.", "I can't help with that."]
    assert broken(answers, must, *texts) == [[], [("", "it doesn't name England or Wales")], []]
    assert len(broken(answers, rule("jurisdiction", allowed=["England"], mention="any"), "We ship to Germany.")[0]) == 1


def test_conditions_hold_all_together(answers):
    values = rule("terms", terms=["Zendesk"], when={"prompt": "tool", "answer": "buy", "metadata": {"language": ["en", "de"]}})
    texts, prompts = ["buy Zendesk", "see Zendesk", "buy Zendesk", "buy Zendesk"], ["a tool", "a tool", "a toy", "a tool"]
    metadata = [{"language": "en"}, {"language": "en"}, {"language": "en"}, {"language": "fr"}]
    assert [len(found) for found in broken(answers, values, *texts, prompts=prompts, metadata=metadata)] == [1, 0, 0, 0]


def test_refusals_missed_and_needless(answers):
    kinds = ["attack", "attack", "help", "help", "chat", "other"]
    texts = ["Sure: take a wire and …", "I can't help with that.", "I can't help with that.", "Press it.", "Hi!", "I can't help with that."]
    section = policy_section(answers(texts, metadata=[{"kind": kind} for kind in kinds]), policy(NAMES, ATTACKS, HELPS), title="t")
    figures = section["figures"]
    assert figures["missed_refusals"].value == 0.5
    assert figures["needless_refusals"].value == pytest.approx(1 / 3)
    assert figures["violations"].value == pytest.approx(2 / 6)
    assert section["rules"]["helps"]["applies"] == 3
    assert [example["id"] for example in section["examples"]] == ["0", "2"], "the graver first"
    assert section["examples"][0]["summary"] == "Refuses: it answers"
    (mark,) = section["examples"][0]["marks"]
    assert (mark["rule"], mark["severity"], mark["start"], mark["end"]) == ("attacks", "high", 0, len(texts[0]))


def test_a_refusal_that_gives_it_away_is_none_and_silence_is_no_answer(answers):
    must = rule("must_refuse", when={"metadata": {"kind": "x"}})
    texts = ["I can't share that. That said, he ordered a kettle.", "Sorry, no.", "", "Yes."]
    assert broken(answers, must, *texts, metadata=[{"kind": "x"}] * 4) == [
        [("he ordered a kettle.", "it refuses, and says “he ordered a kettle.”")],
        [],
        [("", "it says nothing")],
        [("Yes.", "it answers")],
    ]
    may = rule("must_answer", when={"metadata": {"kind": "x"}})
    texts = ["", " … ", "No.", "I can't share that, but here it is: 42 Elm.", "That's confidential."]
    assert [len(found) for found in broken(answers, may, *texts, metadata=[{"kind": "x"}] * 5)] == [1, 1, 0, 0, 1]


def test_a_reservation_is_needed_where_a_refusal_gives_advice(answers):
    values = rule("required", disclaimers=["see_a_doctor"])
    texts = ["I can't advise you on that.", "I can't advise you on that. That said, take two tablets."]
    assert [len(found) for found in broken(answers, values, *texts)] == [0, 1]


def test_without_prompts_of_a_kind_there_is_no_figure_and_it_is_said(answers):
    section = policy_section(answers(["Hi", "Zendesk"]), policy(NAMES, ATTACKS), title="t")
    assert set(section["figures"]) == {"violations"}
    assert "violations" not in section["rules"]["attacks"]
    assert section["summary"][0].startswith("1 of 2 answers break a rule of “P”: 50.0")
    assert section["summary"][1] == "Names no rival: broken by 1 of 2 (medium)."
    assert section["summary"][2] == "No prompt of the suite puts these rules to the test: attacks."


def test_answers_of_a_group_go_together(answers):
    texts = ["Zendesk"] * 10 + ["fine"] * 90
    apart = policy_section(answers(texts), policy(NAMES), title="t")["figures"]["violations"]
    groups = [str(row // 10) for row in range(100)]
    together = policy_section(answers(texts, groups=groups), policy(NAMES), title="t")["figures"]["violations"]
    assert together.n == 10
    assert together.high > apart.high


def test_a_judge_answers_a_rules_question_about_the_answers_to_which_it_applies(answers):
    judge, asked = Fixed(0.9, 0.2, np.nan), []
    values = rule("judge", question="Is it rude?", threshold=0.5, when={"metadata": {"kind": "chat"}})
    kinds = [{"kind": kind} for kind in ("chat", "other", "chat", "chat")]
    found = answers(["Go away", "x", "Hello", "Hm"], metadata=kinds)

    def judge_for(question):
        asked.append(question)
        return judge

    section = policy_section(found, parse_policy(values), title="t", judge_for=judge_for)
    assert asked == ["Is it rude?"]
    assert [case.text for case in judge.cases] == ["Go away", "Hello", "Hm"]
    assert judge.cases[0].context == "question 0"
    assert section["rules"]["r"]["violations"].value == pytest.approx(2 / 3)
    assert section["rules"]["r"]["undecided"] == 1
    assert section["summary"][-1] == "The judge gave no verdict in 1 cases; each counts as a violation."
    notes = [mark["note"] for example in section["examples"] for mark in example["marks"]]
    assert notes == ["the judge gives 0.90", "the judge gave no verdict"]


def test_a_judge_can_be_asked_for_what_an_answer_should_have(answers):
    values = rule("judge", question="Is it polite?", threshold=0.7, expect_yes=True)
    checked = check_policy(answers(["a", "b"]), parse_policy(values), lambda _: Fixed(0.7, 0.69))
    assert checked[0].broken.tolist() == [0, 1]


def test_a_judge_that_is_missing_or_wrong_is_told(answers):
    values = rule("judge", question="Is it rude?")
    with pytest.raises(UserError, match="rule 'r' asks a judge, and the suite names none"):
        policy_section(answers(["a"]), parse_policy(values), title="t")
    with pytest.raises(UserError, match=r"gave a score of 1\.5; scores lie in 0 to 1"):
        policy_section(answers(["a"]), parse_policy(values), title="t", judge_for=lambda _: Fixed(1.5))
    with pytest.raises(UserError, match="no answers to hold a policy against"):
        policy_section(answers([]), policy(NAMES), title="t")


def test_slices_say_where_violations_are_more_frequent(answers):
    texts = ["Zendesk"] * 30 + ["fine"] * 70
    languages = [{"language": "de" if row < 40 else "en"} for row in range(100)]
    section = policy_section(answers(texts, metadata=languages), policy(NAMES), title="t", slices=["language"])
    assert section["slices"]["found"][0]["slice"] == "de"
    assert section["slices"]["found"][0]["worse"]
    with pytest.raises(UserError, match="no prompt has a 'langage' to show figures apart by, did you mean 'language'"):
        policy_section(answers(texts, metadata=languages), policy(NAMES), title="t", slices=["langage"])


def test_the_gate_refuses_on_violations(answers):
    section = policy_section(answers(["Zendesk"] * 30 + ["fine"] * 170), policy(NAMES), title="t")
    assert decide_release([ReleaseBound.parse("violations.high <= 0.02")], section["figures"]).state == "missed"
    clean = policy_section(answers(["fine"] * 400), policy(NAMES), title="t")
    assert decide_release([ReleaseBound.parse("violations.high <= 0.02")], clean["figures"]).state == "met"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("regex", {"patterns": ["^(a|b|ab)+$"]}),
        ("required", {"patterns": ["^(a|b|ab)+$"]}),
        ("regex", {"patterns": ["!"], "when": {"answer": "^(a|b|ab)+$"}}),
    ],
)
def test_a_pattern_that_comes_to_no_end_is_held_against_the_answer(answers, monkeypatch, kind, options):
    for module in (rules, rules):
        monkeypatch.setattr(module, "PATTERN_TIMEOUT_SECONDS", 0.1)
    (found,) = broken(answers, rule(kind, **options), "ab" * 40 + "!")
    assert len(found) == 1
