"""Hallucination measured in a project: people are asked step by step, until the interval decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.evaluation.judges import JudgeCase
from preceptor.evaluation.judges.claim_judges import OverlapJudge
from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt
from preceptor.evaluation.release_bounds import ReleaseBound
from preceptor.reporting.report import Report
from preceptor.runs import claim_audit
from preceptor.runs.claim_audit import CLAIM_QUESTION
from preceptor.types import json_digest

TOWNS = ["Leeds", "Bath", "Derby", "Hull", "Luton", "Poole", "Truro", "Ripon"]
Truth = Callable[[str, str], str]


def answers_of(subject: str, asked: Sequence[SuitePrompt], texts: Sequence[str], sampling: dict) -> ModelAnswers:
    return ModelAnswers(subject, asked, texts, sampling, json_digest([[each.id for each in asked], list(texts), sampling]))


class Leaning:
    """A judge that knows the truth, and says it with this chance, by the claim and the seed."""

    name, digest = "leaning", "leaning-1"

    def __init__(self, right: float) -> None:
        self.right, self.asked = right, 0

    def scores(self, cases: Sequence[JudgeCase]) -> np.ndarray:
        self.asked += len(cases)
        random = np.random.default_rng(len(cases))
        return np.array([self._score(case, random) for case in cases])

    def _score(self, case: JudgeCase, random: np.random.Generator) -> float:
        holds = truth_of(case.text, case.sources[0]) == "supported"
        return 0.9 if holds == (random.random() < self.right) else 0.1


def truth_of(claim: str, source: str) -> str:
    return "supported" if claim.rstrip(".") in source else "contradicted"


def answered(count: int, rate: float, seed: int = 0) -> ModelAnswers:
    """A model that tells two facts of a shop each time, each wrong at this rate; every tenth answer is a refusal."""
    random = np.random.default_rng(seed)
    asked, texts = [], []
    for number in range(count):
        facts = [f"Shop {number} lies in {random.choice(TOWNS)}", f"It opened in {random.integers(1900, 2000)}"]
        told = [fact[:-1] + "x" if random.random() < rate else fact for fact in facts]
        source = ". ".join(facts) + "."
        asked.append(
            SuitePrompt(f"q{number}", f"shop-{number}", ({"role": "user", "content": f"Tell me about shop {number}."},), (source,))
        )
        texts.append("I'm sorry, but I can't answer that." if number % 10 == 9 else ". ".join(told) + ".")
    return answers_of("m-1", asked, texts, {"seed": seed})


@pytest.fixture
def project(tmp_path):
    made = Project.create(tmp_path / "p", redundancy={"min_judgments": 1, "max_judgments": 1}, annotators={"gold_share": 0})
    made.add_question("mood", "choice", ["good", "bad"])
    made.add_items([{"id": "i-1", "text": "a text"}])
    yield made
    made.close()


def people_answer(project: Project, who: str = "ann", most: int = 10_000) -> int:
    """A person who checks each claim rightly; how many responses they were shown."""
    shown = 0
    project.add_annotator(who)
    while shown < most and (taken := project.next(who, CLAIM_QUESTION)) is not None:
        content = taken.content
        said = [
            {"claim": number, "verdict": truth_of(claim, content["sources"][0]), "source": 0}
            for number, claim in enumerate(content["claims"])
        ]
        project.submit(taken.slot, who, said)
        shown += 1
    return shown


def until_decided(project: Project, answers: ModelAnswers, judge, bound: ReleaseBound) -> tuple[dict, int]:
    shown = 0
    for _ in range(6):
        section = claim_audit.audit_claims(project, answers, judge, queue=True, bounds=[bound])
        if not section["looks"]["waiting"]:
            return section, shown
        shown += people_answer(project)
    raise AssertionError("it doesn't end")


def test_people_are_asked_until_the_interval_decides(project):
    answers, judge = answered(1_000, 0.02), Leaning(0.95)
    bound = ReleaseBound.parse("hallucination.high <= 0.1")
    first = claim_audit.audit_claims(project, answers, judge, queue=True, bounds=[bound])
    assert "No valid interval exists yet" in first["summary"][0]
    assert set(first["figures"]) == {"claimless", "claims_per_response"}
    section, shown = until_decided(project, answers, judge, bound)
    assert section["looks"]["decided"] == "met"
    found = section["figures"]["hallucination"]
    assert found.low <= 0.02 <= found.high <= 0.1
    assert 40 <= shown <= 100  # of 1,000
    assert judge.asked == 2 * 900  # each claim once, however often it was looked
    assert people_answer(project) == 0
    assert any("Nobody else needs to be asked" in words for words in section["summary"])


def test_a_clear_miss_ends_at_the_first_look(project):
    section, shown = until_decided(project, answered(1_000, 0.4), Leaning(0.9), ReleaseBound.parse("hallucination.high <= 0.1"))
    assert section["looks"]["decided"] == "missed"
    assert shown <= 50
    assert section["examples"][0]["verdict"] == "contradicted"
    assert len(section["examples"]) == 10
    assert len({example["id"] for example in section["examples"]}) == 10


@pytest.mark.parametrize("right", [0.0, 0.5])
def test_a_judge_that_is_wrong_misleads_nobody(project, right):
    """All of its verdicts are wrong, or none says anything: the interval still holds the truth, from people's verdicts."""
    section, _ = until_decided(project, answered(600, 0.1, seed=3), Leaning(right), ReleaseBound.parse("hallucination.high <= 0.01"))
    found = section["figures"]["hallucination"]
    assert section["looks"]["decided"] == "missed"
    assert found.low <= 0.1 <= found.high
    assert section["figures"]["judge_recall"].value == (0.0 if right == 0.0 else pytest.approx(0.5, abs=0.4))


def test_a_bound_that_is_too_near_ends_undecided(project):
    answers = answered(120, 0.1)
    section, shown = until_decided(project, answers, Leaning(0.9), ReleaseBound.parse("hallucination.high <= 0.1"))
    assert section["looks"] == {"sizes": [50, 100, 120], "done": 3, "waiting": 0, "judgments": 108, "decided": None}
    assert shown == 108  # refusals need nobody
    assert "All planned looks are done" in section["summary"][-1]


def test_nobody_is_asked_without_queue(project):
    answers, judge = answered(200, 0.1), Leaning(0.9)
    section = claim_audit.audit_claims(project, answers, judge, queue=False)
    assert [question.name for question in project.questions()] == ["mood"]
    assert "nobody has been asked yet" in section["summary"][0]
    claim_audit.audit_claims(project, answers, judge, queue=True)
    assert people_answer(project) > 40
    assert claim_audit.audit_claims(project, answers, judge, queue=False)["looks"]["done"] == 1
    assert people_answer(project) == 0


def test_half_a_look_is_no_look(project):
    """The first of a sample that people get through may be its easiest."""
    answers, judge = answered(200, 0.1), Leaning(0.9)
    claim_audit.audit_claims(project, answers, judge, queue=True)
    people_answer(project, most=20)
    section = claim_audit.audit_claims(project, answers, judge, queue=True)
    assert "hallucination" not in section["figures"]
    assert section["looks"]["done"] == 0
    assert section["looks"]["waiting"] < 31


def test_people_see_each_claim_with_its_sources_and_no_ordinary_item(project):
    answers = answered(200, 0.1)
    claim_audit.audit_claims(project, answers, OverlapJudge(), queue=True)
    project.add_annotator("ann")
    taken = project.next("ann", CLAIM_QUESTION)
    row = next(number for number, asked in enumerate(answers.prompts) if taken.item.startswith(f"{asked.id}@"))
    assert taken.content["completion"] == answers.texts[row]
    assert taken.content["sources"] == list(answers.prompts[row].sources)
    assert len(taken.content["claims"]) == 2
    project.add_annotator("bob")
    assert {project.next("bob", "mood").item} == {"i-1"}


def test_the_section_makes_a_report(project):
    answers, judge = answered(300, 0.2), Leaning(0.9)
    claim_audit.audit_claims(project, answers, judge)
    people_answer(project)
    section = claim_audit.audit_claims(project, answers, judge)
    report = Report.from_document({"title": "t", "suites": {CLAIM_QUESTION: section}})
    assert report.estimates["suites.faithfulness.figures.hallucination"] == section["figures"]["hallucination"]
    assert all(words[0].isupper() or words[0].isdigit() for words in section["summary"])
    assert section["cost"]["judgments"] == section["looks"]["judgments"]
    assert section["splitter"] == "rules-1"


def test_adjudicated_responses_count_without_a_judgment(project):
    answers, judge = answered(60, 0.2), Leaning(0.9)
    claim_audit.audit_claims(project, answers, judge)
    people_answer(project, most=30)
    with project.database.reading() as connection:
        waiting = connection.exec_driver_sql(
            "SELECT i.id, i.content FROM slots s JOIN items i ON i.pk = s.item WHERE i.purpose = 'faithfulness' AND s.judgment_count = 0"
        ).all()
    for item, _ in waiting:
        project.adjudicate(item, CLAIM_QUESTION, [{"claim": 0, "verdict": "supported"}, {"claim": 1, "verdict": "supported"}], by="eve")
    assert claim_audit.audit_claims(project, answers, judge, queue=False)["looks"]["done"] == 1


def test_the_judge_is_named_when_it_is_the_last_resort(project):
    words = " ".join(claim_audit.audit_claims(project, answered(60, 0.1), OverlapJudge())["summary"])
    assert "The judge is word overlap, the last resort" in words


def with_rows(answers: ModelAnswers, asked: Sequence[SuitePrompt], texts: Sequence[str]) -> ModelAnswers:
    return answers_of(answers.subject, asked, texts, answers.sampling)


def test_bad_answers_are_refused_in_words(project):
    one = SuitePrompt("a", "g1", ({"role": "user", "content": "?"},), ("A source.",))
    lone = SuitePrompt("b", "g2", ({"role": "user", "content": "?"},))
    with pytest.raises(UserError, match="no sources") as caught:
        claim_audit.audit_claims(project, answers_of("m", [one, lone], ["It is red.", "It is blue."], {}), OverlapJudge())
    assert caught.value.where == "b"
    twin = SuitePrompt("c", "g3", one.turns, one.sources)
    with pytest.raises(UserError, match="stands in two groups, 'g1' and 'g3'"):
        claim_audit.audit_claims(project, answers_of("m", [one, twin], ["It is red.", "It is red."], {}), OverlapJudge())
    with pytest.raises(UserError, match="none of the responses claims anything"):
        claim_audit.audit_claims(project, answers_of("m", [one], [" "], {}), OverlapJudge())


def test_empty_answers_and_missing_verdicts_are_counted_and_told(project):
    answers = answered(80, 0.1)
    texts = ["" if number < 3 else text for number, text in enumerate(answers.texts)]

    class Mute(Leaning):
        digest = "mute"

        def scores(self, cases):
            found = super().scores(cases)
            found[:5] = np.nan
            return found

    words = " ".join(claim_audit.audit_claims(project, with_rows(answers, answers.prompts, texts), Mute(0.9))["summary"])
    assert "Empty: 3 responses" in words
    assert "no verdict on 5 claims" in words


def test_a_judge_that_breaks_off_goes_on_where_it_was(project, monkeypatch):
    from preceptor.runs import named_judges

    monkeypatch.setattr(named_judges, "_SCORE_BATCH", 50)

    class Breaking(Leaning):
        broken = True

        def scores(self, cases):
            if self.broken and self.asked >= 100:
                raise UserError("the service is down", "try later")
            return super().scores(cases)

    answers, judge = answered(200, 0.1), Breaking(0.9)
    with pytest.raises(UserError, match="service is down"):
        claim_audit.audit_claims(project, answers, judge)
    judge.broken = False
    claim_audit.audit_claims(project, answers, judge)
    assert judge.asked == 2 * 180


def test_what_a_judge_was_trained_on_it_has_no_word_on(project):
    class Trained(Leaning):
        digest = "trained"

        def has_seen(self, case):
            return case.text.startswith("Shop 1")

    answers = answered(100, 0.1)
    section = claim_audit.audit_claims(project, answers, Trained(1.0))
    seen = sum(text.startswith("Shop 1") for text in answers.texts)
    assert section["judge"]["taught"] == seen > 5
    assert section["judge"]["without_verdict"] == 0


def test_what_is_decided_is_asked_no_more_and_resumes_when_it_must(project):
    answers, judge = answered(200, 0.1), Leaning(0.9)
    claim_audit.audit_claims(project, answers, judge)
    people_answer(project)
    claim_audit.audit_claims(project, answers, judge)  # no bound: the next look is put before people
    decided = claim_audit.audit_claims(project, answers, judge, bounds=[ReleaseBound.parse("hallucination.high <= 0.9")])
    assert (decided["looks"]["decided"], decided["looks"]["waiting"]) == ("met", 0)
    assert people_answer(project) == 0
    claim_audit.audit_claims(project, answers, judge, bounds=[ReleaseBound.parse("hallucination.high <= 0.1")])
    assert people_answer(project) > 40


def test_other_instructions_of_a_later_release_lose_no_verdict(project, monkeypatch):
    from preceptor.runs import claim_audit

    answers, judge = answered(200, 0.1), Leaning(0.9)
    claim_audit.audit_claims(project, answers, judge)
    people_answer(project)
    monkeypatch.setattr(claim_audit, "_CLAIM_INSTRUCTIONS", "In other words?")
    assert claim_audit.audit_claims(project, answers, judge)["looks"]["done"] == 1
    people_answer(project)
    assert claim_audit.audit_claims(project, answers, judge)["looks"]["done"] == 2
