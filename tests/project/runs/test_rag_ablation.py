"""The base, tuned, with sources, and both, side by side: who stands for each, what is counted, and how the report tells it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.evaluation.suites.rag_ablation import RagCondition, rag_ablation_section
from preceptor.retrieval.citations import CitationCounts, count_citations
from preceptor.retrieval.search import SearchHit
from preceptor.runs.suite_runner import SuiteOptions, run_suites
from tiny_models import NEXT, save_decoder

FAST = {"learning_rate": 1e-2, "epochs": 4, "dtype": "float32", "adapter": "none", "max_tokens": 1000}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project of questions with sources, and on the same snapshot a model of `sft` and one of `raft`."""
    folder = tmp_path_factory.mktemp("rag_ablation")
    rows = [
        {
            "id": f"q{number}", "prompt": f"What follows {word} ({number})?", "completion": f"It is {NEXT[word]}.",
            "sources": [{"text": f"It is {NEXT[word]} that follows {word}.", "golden": True}, f"Nobody counts the {number} stars."],
        }
        for number in range(60)
        for word in [list(NEXT)[number % 6]]
    ]  # fmt: skip
    project = Project.create(folder / "answers", annotators={"gold_share": 0})
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project.read(folder / "faq.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=3)
    base = save_decoder("llama", folder / "base")
    tuned = project.train("sft", snapshot="v1", base=base, **{**FAST, "max_tokens": 64})
    both = project.train("raft", snapshot="v1", base=base, sources=2, quotes=False, **FAST)
    yield project, tuned, both
    project.close()


def held_out(project):
    return list(project.load_snapshot("v1").rows("test"))


def test_the_report_shows_the_models_own_ways_where_its_base_is_a_folder_nobody_knows_by_name(made):
    project, tuned, both = made
    (found,) = run_suites(project, both, ["rag_ablation"], SuiteOptions(), rows=held_out(project)).values()
    assert found["subjects"] == {"tuned": tuned.id, "both": both.id}
    assert any("base isn't available" in words for words in found["summary"])
    assert {"accuracy_tuned", "accuracy_both", "golden_found", "golden_cited_both", "both_above_tuned"} <= set(found["figures"])
    assert found["figures"]["golden_found"].value == 1.0, "the questions' own sources"
    html = project.evaluate(both, suites=["rag_ablation"]).to_html()
    assert "Tuned, with sources, and both" in html
    assert "golden cited" in html.lower()


def test_a_base_alone_and_answers_in_a_file_are_refused_in_words(made, tmp_path):
    project, *_ = made
    with pytest.raises(UserError, match="isn't a model that was trained here"):
        run_suites(project, str(save_decoder("llama", tmp_path / "other")), ["rag_ablation"], SuiteOptions(), rows=held_out(project))
    (tmp_path / "answers.jsonl").write_text('{"prompt": "a", "reference": "b", "answer": "b"}\n')
    with pytest.raises(UserError, match="asks a model and its base in four ways"):
        run_suites(project, str(tmp_path / "answers.jsonl"), ["rag_ablation"], SuiteOptions())


def test_citations_are_counted_by_sentence_and_by_marker():
    hits = [SearchHit("d", 1, n, 0, len(text), text, "", 1.0, {}) for n, text in enumerate(["The fee is 5 euros.", "Shops open at nine."])]
    assert count_citations("The fee is 5 euros [1]. Shops open at nine [1][2]. Yes. The moon is green cheese [2].", hits) == CitationCounts(
        3, 2, 2, 4, 2
    )
    assert count_citations("The fee is 5 euros.", hits) == CitationCounts(1, 0, 1, 0, 0)
    assert count_citations("The fee is 5 euros [4].", hits) == CitationCounts(1, 0, 1, 1, 0)
    assert count_citations("", []) == CitationCounts(0, 0, 0, 0, 0)


def test_the_words_say_above_only_where_the_interval_does():
    def of(right, **more):
        return RagCondition([""] * 40, np.array(right, dtype=float), **more)

    names = [str(n) for n in range(40)]
    common = {"ids": names, "prompts": names, "references": names, "groups": names, "title": "t", "metric": "exact_match"}
    counts = [CitationCounts(1, 1, 1, 2, 1)] * 40
    nan = np.full(40, np.nan)
    both = of([1] * 36 + [0] * 4, citations=counts, golden_found=nan, golden_cited=nan)
    found = rag_ablation_section(
        {"base": of([0] * 40), "tuned": of([0] * 40), "rag": of([1] * 35 + [0] * 5, citations=counts), "both": both}, **common
    )
    assert found["figures"]["citation_recall_both"].value == 1.0
    assert found["figures"]["citation_precision_both"].value == 0.5
    assert "golden_found" not in found["figures"], "nothing says which sources are golden"
    above, undecided = found["summary"][:2]
    assert above.startswith("Tuned with sources is above tuning alone: +90.0 points")
    assert undecided.startswith("Tuned with sources is neither clearly above nor below sources alone")
    assert all(figure.low <= figure.value <= figure.high for figure in found["figures"].values())
