"""What somebody decided about an item is its answer, and moves nothing else, whatever the question's kind and what came after."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.snapshots import curation

COUNT = 40
OPTIONS = ["a", "b", "c"]
KINDS = {  # settings, an answer to item n, another answer, and the content of item n
    "choice": ({"options": OPTIONS}, lambda n: OPTIONS[n % 2], "c", None),
    "multilabel": ({"options": OPTIONS}, lambda n: [OPTIONS[n % 2]], ["b", "c"], None),
    "rating": ({"options": [1, 2, 3, 4, 5]}, lambda n: 1 + n % 3, 5, None),
    "write": ({}, lambda n: {"text": f"what was said of {n}"}, {"text": "something else"}, None),
    "spans": (
        {"options": OPTIONS},
        lambda n: [{"start": 0, "end": 4, "label": OPTIONS[n % 2]}],
        [{"start": 5, "end": 7, "label": "c"}],
        None,
    ),
    "compare": ({"responses": 2, "ties": True}, lambda n: {"winner": n % 2}, "tie", ["one", "two"]),
    "rank": ({"responses": 3}, lambda n: {"order": [0, 1, 2]}, {"order": [2, 1, 0]}, ["one", "two", "three"]),
}


def asked(project, kind):
    settings, say, other, responses = KINDS[kind]
    project.add_question("q", kind=kind, **settings)
    texts = [f"text {n} like no other, {n * n}" for n in range(COUNT)]
    contents = [{"prompt": text, "responses": responses} if responses else {"text": text} for text in texts]
    project.add_items({"id": f"i-{n}", "content": content} for n, content in enumerate(contents))
    for n in range(COUNT):
        for shift, person in enumerate(("ann", "bob", "cec")):
            project.add_annotator(person)
            project.judge(f"i-{n}", "q", annotator=person, answer=say(n + (shift == 2 and n % 5 == 0)))
    return other


def believed(fitted):
    chances = getattr(fitted, "applies", fitted.posterior)
    people = [(name, quality.judgments, quality.accuracy) for name, quality in fitted.annotators.items()]
    return {item: (top, row.tolist()) for item, top, row in zip(fitted.items, fitted.top, chances, strict=True)}, people


@pytest.mark.parametrize("kind", KINDS)
def test_a_decision_moves_its_own_item_alone(project, kind):
    other = asked(project, kind)
    before, people = believed(project.consensus("q"))
    chosen = [f"i-{n}" for n in range(10)]
    for item in chosen:
        curation.curate_item(project, item, "q", "relabel", answer=other, by="eve")
    fitted = project.consensus("q")
    after, still = believed(fitted)
    assert {item for item in before if after[item] != before[item]} == set(chosen)
    assert still == people
    assert [fitted.certainty[fitted.items.index(item)] for item in chosen] == [1.0] * 10
    assert np.allclose(fitted.posterior.sum(axis=1), 1)
    for action, more in (("keep", {}), ("reject", {"reason": "spam"})):
        for item in chosen:
            curation.curate_item(project, item, "q", action, by="eve", **more)
        assert believed(project.consensus("q")) == (after, people)


@pytest.mark.parametrize("kind", KINDS)
def test_so_does_what_is_decided_in_review(project, kind):
    other = asked(project, kind)
    before, people = believed(project.consensus("q"))
    for n in range(10):
        project.adjudicate(f"i-{n}", "q", other, by="eve", explanation="plain to see")
    after, still = believed(project.consensus("q"))
    assert {item for item in before if after[item] != before[item]} == {f"i-{n}" for n in range(10)}
    assert still == people
    assert [(each.action, each.reason, each.by) for each in curation.load_curation_case(project, "q", "i-3").history] == [
        ("relabel", "plain to see", "eve")
    ]


def test_a_rewriting_teaches_nothing_of_who_wrote_it(project):
    asked(project, "choice")
    number = curation.curate_item(project, "i-3", "q", "rewrite", text="said anew", answer="c", by="eve")
    new = next(each.document["item"] for each in curation.list_recent_decisions(project, "q") if each.number == number)
    with_it = believed(project.consensus("q"))
    project.add_gold("q", {new: "a"})  # its known answer is of no matter to the others
    assert {item for item, found in believed(project.consensus("q"))[0].items() if found != with_it[0][item]} == {new}
