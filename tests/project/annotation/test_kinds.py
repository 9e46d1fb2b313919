"""Every kind of question through a project: judged, agreed on, kept, exported; frozen where there are labels."""

from __future__ import annotations

import json

import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.questions import kinds

KINDS = {  # how each is defined, and two answers
    "multilabel": ({"options": ["a", "b", "c"]}, [["a", "c"], []]),
    "compare": ({}, [{"winner": 1, "order": [1, 0], "reasons": "short"}, "tie"]),
    "rank": ({}, [[1, 0, 2], [0, 1, 2]]),
    "write": ({}, ["a cat", "no dog"]),
    "spans": ({"options": ["place"]}, [[{"start": 0, "end": 2, "label": "place"}], []]),
    "claims": ({}, [[{"claim": 0, "verdict": "supported", "source": 0}], [{"claim": 0, "verdict": "not_found"}]]),
}


@pytest.fixture
def judged(tmp_path, request):
    """Ten items, every other with the other answer, that three people judge alike, but for one who differs on the first."""
    kind = request.param
    defined, answers = KINDS[kind]
    project = Project.create(tmp_path / kind)
    project.add_question("q", kind, **defined)
    responses = {"responses": ["x", "y", "z"][: {"compare": 2, "rank": 3}.get(kind, 0)]}
    content = {"prompt": "Which?", **responses} if responses["responses"] else {"prompt": "P", "completion": "C"}
    project.add_items([{"id": f"i-{n}", "content": content | {"sources": ["s"], "claims": ["c"]}} for n in range(10)])
    for n in range(10):
        for person in ("ann", "bob", "cid"):
            project.add_annotator(person)
            project.judge(f"i-{n}", "q", annotator=person, answer=answers[(n + ((n, person) == (0, "cid"))) % 2])
    yield project
    project.close()


def same(project, tops, answers):
    """Whether each consensus says what an answer says."""
    asked = project.question("q")
    kind = kinds.get(asked.kind)
    return [kind.vote(asked, kind.parse_consensus(asked, top)) for top in tops] == [kind.vote(asked, kind.parse(asked, a)) for a in answers]


@pytest.mark.parametrize("judged", KINDS, indirect=True)
def test_a_kind_goes_through_a_project(judged):
    fitted = judged.consensus("q")
    assert same(judged, fitted.top, [KINDS[judged.question("q").kind][1][n % 2] for n in range(10)])
    assert fitted.certainty[1:].min() > 0.5
    assert 0.5 < judged.status()["questions"][0]["agreement"]["value"] < 1
    assert {person["annotator"] for person in judged.people("q")} == {"ann", "bob", "cid"}
    assert judged.update_redundancy("q") >= 0
    exported = [row["answer"] for row in json.loads(json.dumps(list(judged.export("consensus"))))]
    assert exported == json.loads(json.dumps(fitted.top))


@pytest.mark.parametrize("judged", KINDS, indirect=True)
def test_known_answers_are_taken(judged):
    other = KINDS[judged.question("q").kind][1][1]
    judged.add_gold("q", {"i-4": other})
    fitted = judged.consensus("q")
    assert same(judged, [fitted.top[fitted.items.index("i-4")]], [other])


@pytest.mark.parametrize("judged", ["rank", "spans", "claims"], indirect=True)
def test_what_is_no_label_cant_be_frozen_yet(judged):
    with pytest.raises(UserError, match=r"can't be frozen yet.*choice, multilabel, rating, compare or write"):
        judged.snapshot("q")


@pytest.mark.parametrize("judged", ["rank", "write", "spans", "claims"], indirect=True)
def test_what_is_composed_has_no_plan_yet(judged):
    with pytest.raises(UserError, match="can't be told yet"):
        judged.plan("q")


@pytest.mark.parametrize("judged", ["multilabel", "compare"], indirect=True)
def test_labels_can_be_planned(judged):
    assert judged.plan("q", judgments=10).judgment_count >= 0
