"""Retracting an annotator reproduces exactly the consensus that would have stood without them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor import Project

ANSWERS = ("negative", "neutral", "positive")
PLACE, PERSON = {"start": 0, "end": 4, "label": "place"}, {"start": 5, "end": 6, "label": "person"}
VERDICTS = ("supported", "contradicted", "not_found")
KINDS = {  # how each is defined, and three answers
    "choice": ({"options": ANSWERS}, ANSWERS),
    "rating": ({"options": (0, 1, 2), "panel": 5}, (0, 1, 2)),
    "multilabel": ({"options": ANSWERS}, ([], ["neutral"], ["negative", "positive"])),
    "compare": ({}, (0, {"winner": 1, "order": [1, 0]}, "tie")),
    "rank": ({}, ([0, 1, 2], [0, 2, 1], [2, 1, 0])),
    "write": ({}, ("a cat", "a black cat", "no dog")),
    "spans": ({"options": ("person", "place")}, ([], [PLACE], [PLACE, PERSON])),
    "claims": ({}, tuple([{"start": 0, "end": 4, "verdict": verdict}] for verdict in VERDICTS)),
}
judgments = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(["ann", "bob", "cid", "dan"]), st.integers(0, 2)),
    min_size=4,
    max_size=40,
    unique_by=lambda j: j[:2],
)


def project_with(folder, kind, said):
    project = Project.create(folder)
    defined, answers = KINDS[kind]
    project.add_question("q", kind, **defined)
    responses = {"compare": ["a", "b"], "rank": ["a", "b", "c"]}.get(kind)
    project.add_items(
        [{"id": f"i-{n}", **({"responses": [*responses[:-1], f"c{n}"]} if responses else {"text": f"text {n}"})} for n in range(8)]
    )
    for item, person, code in said:
        project.add_annotator(person)
        project.judge(f"i-{item}", "q", annotator=person, answer=answers[code])
    return project


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(said=judgments, gone=st.sampled_from(["ann", "bob"]))
def test_a_retracted_person_leaves_no_trace(tmp_path_factory, kind, said, gone):
    folder = tmp_path_factory.mktemp("retraction")
    rest = [judgment for judgment in said if judgment[1] != gone]
    if len(rest) == len(said) or not rest:
        return
    project, without = project_with(folder / "with", kind, said), project_with(folder / "without", kind, rest)
    project.retract(gone, by="owner", reason="guessed")
    ours, theirs = project.consensus("q"), without.consensus("q")
    assert (ours.items, ours.answers) == (theirs.items, theirs.answers)
    assert np.array_equal(ours.posterior, theirs.posterior)
    assert np.array_equal(ours.judgment_counts, theirs.judgment_counts)
    assert ours.top == theirs.top
    assert np.array_equal(ours.certainty, theirs.certainty)
    assert set(ours.annotators) == set(theirs.annotators)
    counts = [
        {part["name"]: (part["judgment_count"], part["unfinished"]) for part in each.status()["questions"]} for each in (project, without)
    ]
    assert counts[0] == counts[1]
    project.close()
    without.close()


def test_judgments_after_a_retraction_count(tmp_path):
    project = project_with(tmp_path / "p", "choice", [(0, "ann", 0), (1, "bob", 1)])
    project.retract("ann", by="owner", reason="guessed, then trained")
    project.add_annotator("ann")
    project.judge("i-2", "q", annotator="ann", answer="neutral")
    fitted = project.consensus("q", "majority")
    assert dict(zip(fitted.items, fitted.top, strict=True)) == {"i-1": "neutral", "i-2": "neutral"}
    project.close()
