"""Each template holds what its field needs, and a project made from it works from the first import to a snapshot."""

from __future__ import annotations

import json
import random
import re

import pytest

from preceptor import Project, UserError
from preceptor.config import ProjectConfig
from preceptor.evaluation.policies.policy import check_policy, read_policy
from preceptor.evaluation.prompts import ModelAnswers, read_prompts
from preceptor.evaluation.release_bounds import ReleaseBound
from preceptor.evaluation.suites import read_suite
from preceptor.pipeline import project_templates
from preceptor.questions import check_follow_up, define_question, kinds
from preceptor.registry import OptionsBase

NAMES = ("finance", "health", "legal", "sentiment", "support")
PARTS = [(name, part) for name in NAMES for part in project_templates.load_template(name).parts]
LEAST_GOLD = 20


def test_these_fields_have_templates():
    assert project_templates.list_templates() == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_question_is_defined_with_guidelines_and_each_gold_answer_is_one_of_its_answers(name):
    template = project_templates.load_template(name)
    for part in template.parts.values():
        known = {}
        for each in part["questions"]:
            question = define_question(template.read_question(each))
            if question.follows:
                check_follow_up(question, known)
            known[question.name] = question
            heading, _, rest = question.instructions.strip().partition("\n")
            assert heading.endswith("?") or "From -4" in heading
            assert len(heading) < 120
            assert len(rest) > 100, "the guidelines go beyond the heading"
            kind = kinds.get(question.kind)
            for row in template.read_gold(each):
                kind.parse_consensus(question, row["answer"])
                assert row["explanation"].endswith(".")
    first = template.get_part(template.default_part)["questions"][0]
    gold = template.read_gold(first)
    assert len(gold) >= LEAST_GOLD
    assert len({json.dumps({**row, "id": ""}) for row in gold}) == len(gold)
    assert {row["answer"] for row in gold} == set(
        map(str, kinds.get(define_question(template.read_question(first)).kind).answers(define_question(template.read_question(first))))
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_policy_catches_its_own_examples_and_lets_the_clean_ones_pass(name):
    folder = project_templates.load_template(name).folder
    policy = read_policy(folder / "policy.toml")
    asked = read_prompts(folder / "policy-examples.jsonl")
    answers = ModelAnswers("examples", asked, [each.metadata["answer"] for each in asked], {}, "")
    found = {each.id: set() for each in asked}
    for checked in check_policy(answers, policy):
        for at, violations in enumerate(checked.violations):
            if violations:
                found[asked[at].id].add(checked.rule.id)
    assert found == {each.id: set(each.metadata["breaks"]) for each in asked}
    assert set().union(*found.values()) == {rule.id for rule in policy.rules}, "each rule has an example that breaks it"
    assert sum(not broken for broken in found.values()) >= 2


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_laid_out_project_opens_with_its_settings_questions_gold_and_suites(tmp_path, name, part):
    laid = project_templates.create_from_template(tmp_path / name, name, part)
    config = ProjectConfig.load(laid.folder)
    assert config.name == name
    assert config.gate.bounds == laid.bounds
    assert [str(ReleaseBound.parse(bound)) for bound in laid.bounds] == list(laid.bounds)
    assert all((laid.folder / text).is_file() for text in config.forgetting.texts)
    suites = {path.stem: read_suite(path) for path in (laid.folder / "suites").glob("*.toml")}
    assert "policy" in suites
    for suite in suites.values():
        assert suite.prompts is None or len(read_prompts(suite.prompts, group=suite.group)) >= 12
    project = Project.open(laid.folder)
    assert [question.name for question in project.questions()] == list(laid.questions)
    assert project.counts()["items"] == sum(laid.gold.values()) > 0
    project.close()
    assert not list(laid.folder.glob(".*"))
    assert len(laid.next_commands) == 3


def test_the_texts_that_tell_forgetting_make_two_halves(tmp_path):
    from preceptor.runs.general_eval_data import load_general_data

    project = Project.open(project_templates.create_from_template(tmp_path / "shop", "support", "answers").folder)
    parts = load_general_data(project)
    assert min(len(parts.validation.texts), len(parts.test.texts)) >= 15
    project.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_project_goes_from_import_over_judgments_to_a_snapshot(tmp_path, name):
    laid = project_templates.create_from_template(tmp_path / name, name)
    template, question = laid.template, laid.questions[0]
    asked = template.read_question(question)
    rows = [{"id": f"i-{n}", "text": f"{asked['name']} number {n} and {n * 7 % 13}", "group": f"g-{n // 2}"} for n in range(80)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.open(laid.folder)
    assert project.read(file).items == 80
    options, rng = asked["options"], random.Random(0)
    with_skills = asked.get("skills", [])
    for n in range(80):
        for person in ("ann", "bob", "eva"):
            project.add_annotator(person)
            project.judge(f"i-{n}", question, annotator=person, answer=options[n % len(options)] if rng.random() < 0.9 else options[0])
    snapshot = project.snapshot(question, name="v1")
    assert {row.id for row in snapshot.rows()} >= {f"i-{n}" for n in range(80)}
    assert all(re.fullmatch(r"[a-z]+", skill) for skill in with_skills)
    project.close()


def test_a_question_file_adds_what_the_template_added(tmp_path, run):
    laid = project_templates.create_from_template(tmp_path / "shop", "support")
    for question in laid.questions:
        done = run("question", "add", laid.folder / "questions" / f"{question}.toml", "--project", laid.folder, "--json")
        assert done.document["version"] == 1


def test_recorded_answers_are_measured_by_the_policy(tmp_path, run):
    laid = project_templates.create_from_template(tmp_path / "clinic", "health")
    done = run("evaluate", laid.folder / "policy-examples.jsonl", "--suite", "policy", "--project", laid.folder, "--json")
    figures = done.document["suites"]["policy"]["figures"]
    assert figures["violations"]["value"] == pytest.approx(11 / 17)
    assert figures["violations"]["low"] < 11 / 17 < figures["violations"]["high"]


def test_init_prints_what_was_laid_out_and_three_commands(tmp_path, run):
    done = run("init", tmp_path / "clinic", "--template", "health")
    assert done.code == 0
    assert "answer, strength" in done.out
    assert "preceptor people invite NAME --skill medicine" in done.out
    assert len(done.out.partition("next, in clinic")[2].partition("\n\n")[0].splitlines()) == 4
    document = run("init", tmp_path / "other", "--template", "health", "--part", "answers", "--json").document
    assert document["gold"] == {"safe": 10}
    assert len(document["next"]) == 3
    assert set(document["other_parts"]) == {"evidence"}


def test_what_isnt_known_or_isnt_free_is_told_and_nothing_is_made(tmp_path, run):
    assert "did you mean 'support'?" in run("init", tmp_path / "a", "--template", "suport").err
    assert "did you mean 'messages'?" in run("init", tmp_path / "a", "--template", "support", "--part", "message").err
    assert run("init", tmp_path / "a", "--part", "messages").code == 2
    assert not (tmp_path / "a").exists()
    assert run("init", tmp_path / "b", "--template", "legal").code == 0
    assert "there is a project" in run("init", tmp_path / "b", "--template", "legal").err
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "README.md").write_text("mine")
    assert "would write over" in run("init", tmp_path / "c", "--template", "legal").err
    assert (tmp_path / "c" / "README.md").read_text() == "mine"
    (tmp_path / "file").write_text("")
    assert "is a file" in run("init", tmp_path / "file", "--template", "legal").err


def test_other_options_leave_the_templates_gold_out(tmp_path):
    laid = project_templates.create_from_template(
        tmp_path / "bank", "support", options={"intent": ["card", "transfer"], "urgency": ["now", "later"]}
    )
    project = Project.open(laid.folder)
    assert laid.gold == {}
    assert project.counts()["items"] == 0
    assert project.question("intent").options == ("card", "transfer")
    assert "Where two answers seem equally right" in project.question("intent").instructions
    project.close()
    assert project_templates.create_from_template(tmp_path / "other", "sentiment", gold=False).gold == {}
    with pytest.raises(UserError, match="did you mean 'intent'"):
        project_templates.create_from_template(tmp_path / "third", "support", options={"intents": ["a", "b"]})


def test_a_fault_on_the_way_leaves_no_half_project(tmp_path, monkeypatch):
    def broken(*_):
        raise UserError("no more")

    monkeypatch.setattr(project_templates, "_add_question", broken)
    with pytest.raises(UserError):
        project_templates.create_from_template(tmp_path / "shop", "support")
    assert list((tmp_path / "shop").iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_template_file_says_nothing_that_isnt_read(name):
    template = project_templates.load_template(name)
    assert set(template.common_tables) <= {"title", "about", "first", "parts", *project_templates._CONFIG_TABLES}
    for part in template.parts.values():
        assert set(part) <= {"about", "questions", "rows", "import", "general", *project_templates._CONFIG_TABLES}
        for table in ("redundancy", "gate"):
            options: type[OptionsBase] = type(getattr(ProjectConfig(name="x"), table))
            assert set(part[table]) <= set(options.model_fields)
