"""What a retraction would change, told before it is made; the pages' own test compares it with what then happens."""

import pytest

from preceptor.errors import UserError
from preceptor.release.retraction import preview_retraction


def test_of_somebody_who_judged_alone(project):
    project.add_items([{"id": "a", "text": "a"}])
    project.add_annotator("ann")
    project.judge("a", "sentiment", annotator="ann", answer="neutral")
    top = project.consensus("sentiment").top[0]
    found = preview_retraction(project, "ann")
    (effect,) = found.effects
    (change,) = effect.changes
    assert (found.judgments, effect.items, effect.unanswered) == (1, 1, 1)
    assert (change.item, change.before, change.after) == ("a", top, None)


def test_of_somebody_without_judgments_and_of_nobody(judged):
    judged.add_annotator("idle")
    found = preview_retraction(judged, "idle")
    assert (found.judgments, found.changes, list(found.effects)) == (0, 0, [])
    judged.retract("ann", by="me", reason="so")
    assert preview_retraction(judged, "ann").judgments == 0
    with pytest.raises(UserError, match="no annotator is called"):
        preview_retraction(judged, "nobody")


def test_of_several_questions(judged):
    judged.add_question("tone", "rating", [1, 2, 3])
    judged.add_annotator("ann")
    judged.judge("i-0", "tone", annotator="ann", answer=3)
    judged.add_annotator("bob")
    judged.judge("i-0", "tone", annotator="bob", answer=1)
    found = preview_retraction(judged, "ann")
    assert found.judgments == 61
    assert [(effect.question, effect.judgments) for effect in found.effects] == [("sentiment", 60), ("tone", 1)]
    before = judged.consensus("tone").top
    judged.retract("ann", by="me", reason="so")
    after = judged.consensus("tone").top
    assert [(change.before, change.after) for change in found.effects[1].changes] == [
        pair for pair in [(before[0], after[0])] if before != after
    ]
