"""Unlabelled items: nobody has judged them, and none gives a held-out row away."""

from __future__ import annotations

import pytest

from preceptor import UserError
from preceptor.runs.human_feedback import WaitsForHumans
from preceptor.runs.unlabelled_pool import PromptGroups, UnlabelledItems, find_unlabelled_items

WOODS = "amber birch cedar delta ember fjord grove heath inlet jetty knoll larch marsh north ocean plain quartz ridge slope tundra"
ANSWERS = ("negative", "neutral", "positive")


@pytest.fixture
def labelled(project):
    """60 judged items in 20 groups, and 10 that nobody has judged."""
    words = WOODS.split()
    texts = [f"{words[n % 20]} {words[(n * 3 + 1) % 20]} {words[(n * 7 + n // 20) % 20]} number {n} said so" for n in range(70)]
    project.add_items({"id": f"i-{n:02}", "text": texts[n], "group": f"g-{n // 3}"} for n in range(70))
    for n in range(60):
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(f"i-{n:02}", "sentiment", annotator=person, answer=ANSWERS[n % 3])
    return project


def test_what_is_judged_known_rejected_or_like_a_held_out_row_is_left_out(labelled):
    snapshot = labelled.snapshot("sentiment")
    held, train = next(snapshot.rows("test")), next(snapshot.rows("train"))
    more = {
        "near": held.text + "!",
        "shouted": held.text.upper(),
        "of a held-out group": "Something else entirely.",
        "like a train row": train.text + "!",
    }
    groups = {"of a held-out group": held.group}
    labelled.add_items({"id": name, "text": text, "group": groups.get(name, name)} for name, text in more.items())
    labelled.add_gold("sentiment", {"i-60": "neutral"})
    from preceptor.snapshots import curation

    curation.curate_item(labelled, "i-61", "sentiment", "reject", reason="an advertisement", by="boss")
    found = [item.id for item in find_unlabelled_items(labelled, snapshot)]
    assert found == [*(f"i-{n}" for n in range(62, 70)), "like a train row"]


def test_a_run_sees_the_same_items_whatever_comes_meanwhile(labelled, tmp_path):
    snapshot = labelled.snapshot("sentiment")
    unlabelled = UnlabelledItems(labelled, snapshot, tmp_path / "run", PromptGroups(snapshot))
    before = list(unlabelled())
    assert [each.id for each in before] == [f"i-{n}" for n in range(60, 70)]
    assert before[0].text == before[0].content["text"]
    labelled.add_annotator("ann")
    labelled.judge("i-60", "sentiment", annotator="ann", answer="neutral")
    labelled.add_items([{"id": "new", "text": "A text that came later."}])
    assert list(unlabelled()) == before
    assert [each.id for each in UnlabelledItems(labelled, snapshot, tmp_path / "run", PromptGroups(snapshot))()] == [
        each.id for each in before
    ]
    assert "new" in {each.id for each in UnlabelledItems(labelled, snapshot, tmp_path / "another", PromptGroups(snapshot))()}


def test_people_label_what_decides_most_and_the_posterior_comes_back(labelled, base, answer_all):
    snapshot = labelled.snapshot("sentiment")

    def train():
        return labelled.train("stand_in", snapshot=snapshot, base=base, label=3, human_feedback=True)

    with pytest.raises(WaitsForHumans, match="3 items wait"):
        train()
    first = []
    for person in ("ann", "bob"):
        seen = []
        labelled.add_annotator(person)
        while (taken := labelled.next(person)) is not None and len(seen) < 3:
            seen.append(taken.item)
            labelled.submit(taken.slot, person, "positive")
        first.append(seen)
    assert first == [["i-62", "i-61", "i-60"]] * 2  # the stand-in gives later ones a higher priority
    said = train().manifest["said"]["label"]
    assert said.keys() == {"i-60", "i-61", "i-62"}
    for found in said.values():
        assert max(found, key=found.get) == "positive"
        assert sum(found.values()) == pytest.approx(1)
    after = labelled.snapshot("sentiment")
    assert {"i-60", "i-61", "i-62"} <= {row.id for row in after.rows()}


def test_a_question_that_has_changed_and_an_item_that_isnt_there_are_refused(labelled, base):
    snapshot = labelled.snapshot("sentiment")
    from preceptor.runs.human_feedback import ProjectAnnotators
    from preceptor.training.recipe import FeedbackRequest

    ask = ProjectAnnotators(labelled, snapshot, base, PromptGroups(snapshot), {})
    with pytest.raises(UserError, match="there is no item 'nobody' to label"):
        ask("label", [FeedbackRequest("nobody", {"text": "?"})])
    labelled.add_question("sentiment", "choice", ["negative", "neutral", "positive"], "In other words.")
    with pytest.raises(UserError, match="has version 2 now, and version 1 there; take a new snapshot"):
        ask("label", [FeedbackRequest("i-60", {"text": "?"})])


def test_a_run_that_looked_is_made_anew_when_more_items_have_come(labelled, base):
    snapshot = labelled.snapshot("sentiment")

    def train(**options):
        return labelled.train("stand_in", snapshot=snapshot, base=base, **options)

    first = train()
    assert train().id == first.id
    labelled.add_annotator("ann")
    labelled.judge("i-60", "sentiment", annotator="ann", answer="neutral")
    assert train().id == first.id  # no text is new
    labelled.add_items([{"id": "new", "text": "A text that came later."}])
    second = train()
    assert second.id != first.id
    assert "new" in second.manifest["free"]
    assert train().id == second.id


def test_no_items_at_first_are_looked_for_again(project, tmp_path):
    project.add_items(
        {"id": f"i-{n}", "text": f"{WOODS.split()[n % 20]} {n} and {n * 7} of them", "group": f"g-{n // 3}"} for n in range(60)
    )
    project.add_annotator("ann")
    for n in range(60):
        project.judge(f"i-{n}", "sentiment", annotator="ann", answer=ANSWERS[n % 3])
    snapshot = project.snapshot("sentiment")
    unlabelled = UnlabelledItems(project, snapshot, tmp_path / "run", PromptGroups(snapshot))
    assert list(unlabelled()) == []
    project.add_items([{"id": "new", "text": "A text that came later."}])
    assert [each.id for each in unlabelled()] == ["new"]
