"""A run asks the project's people: what they see, when it goes on, and what is kept of their answers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from preceptor import Project, UserError
from preceptor.runs.human_feedback import ProjectAnnotators, WaitsForHumans, _priority_levels
from preceptor.runs.unlabelled_pool import PromptGroups
from preceptor.storage import questions, slots
from preceptor.training.recipe import FeedbackPending, FeedbackRequest


@pytest.fixture
def people(written, snapshot, tmp_path):
    """Makes the `ask` of a run; `most` as given."""

    def make(most: int | None = None, run: str = "r1") -> ProjectAnnotators:
        return ProjectAnnotators(written, snapshot, tmp_path / run, PromptGroups(snapshot), {"run": run, "recipe": "grpo"}, most)

    return make


def rows_of(snapshot, split="train"):
    return sorted(snapshot.rows(split), key=lambda row: row.id)


def pair(row, *, priority: float = 0.0, mark: str = "") -> FeedbackRequest:
    return FeedbackRequest(f"{row.id}#{mark}", {**row.content, "responses": [f"Sorry. {mark}", f"Too bad. {mark}"]}, priority)


def draft(row, text: str = "No.") -> FeedbackRequest:
    return FeedbackRequest(f"{row.id}#d", {**row.content, "responses": [text]})


def test_a_pair_is_shown_blind_and_its_winner_comes_back_as_probabilities(written, snapshot, people, answer_all):
    row, ask = rows_of(snapshot)[0], people()
    assert ask("compare", [pair(row)]) == {}
    seen = []

    def first(question: str, content: Mapping) -> dict:
        seen.append((question, content))
        return {"winner": 0}

    assert [question for question, _ in answer_all(written, first)] == ["reply-compare"]
    assert seen[0][1] == {"prompt": row.content["prompt"], "responses": ["Sorry. ", "Too bad. "]}
    said = ask("compare", [pair(row)])
    assert said.keys() == {f"{row.id}#"}
    found = said[f"{row.id}#"]
    assert found.keys() == {"0", "1", "tie"}
    assert sum(found.values()) == pytest.approx(1)
    assert max(found, key=found.get) == "0"


def test_a_draft_is_corrected_from_itself_and_left_as_it_was_comes_back_unchanged(written, snapshot, people, answer_all):
    one, other = rows_of(snapshot)[:2]
    ask, odd = people(), "It is\r\nwhat it\0 is"
    asked = [draft(one), draft(other, odd)]
    assert ask("correct", asked) == {}

    def correct(question: str, content: Mapping) -> dict:
        assert content["completion"] in ("No.", "It is\r\nwhat it\ufffd is")
        text = "We are sorry." if content["completion"] == "No." else content["completion"].replace("\r\n", "\n")
        return {"text": text, "from": content["completion"]}

    answer_all(written, correct)
    assert ask("correct", asked) == {f"{one.id}#d": "We are sorry.", f"{other.id}#d": odd}


def test_thumbs_come_back_as_probabilities(written, snapshot, people, answer_all):
    row, ask = rows_of(snapshot)[0], people()
    ask("good", [draft(row)])
    answer_all(written, lambda question, content: "bad")
    assert ask("good", [draft(row)])[f"{row.id}#d"]["bad"] > 0.5


def test_instructions_say_what_was_asked_before(written, snapshot, people):
    row, ask = rows_of(snapshot)[0], people()
    for kind, asked in (("compare", pair(row)), ("correct", draft(row)), ("good", draft(row))):
        ask(kind, [asked])
    assert written.question("reply-correct").instructions == "Answer kindly."  # the snapshot's question asks just that
    assert written.question("reply-good").instructions.endswith("What people were asked before: Answer kindly.")
    assert written.question("reply-compare").instructions.startswith("Which answer is better?")


def test_what_a_run_asked_is_asked_on_by_the_same_question(written, snapshot, people, answer_all, tmp_path):
    ask, rows = people(), rows_of(snapshot)
    ask("compare", [pair(row) for row in rows])
    answer_all(written, lambda question, content: {"winner": len(content["prompt"]) % 2})
    compared = written.snapshot("reply-compare")
    again = ProjectAnnotators(written, compared, tmp_path / "r3", PromptGroups(compared), {})
    row = rows_of(compared)[0]
    again("compare", [pair(row, mark="once more")])
    again("good", [draft(row)])
    assert {question.name for question in written.questions()} == {"reply", "reply-compare", "reply-good"}
    assert written.question("reply-good").instructions.endswith("What people were asked before: Answer kindly.")


def test_the_same_again_changes_nothing_also_in_another_run(written, snapshot, people, answer_all):
    rows = rows_of(snapshot)[:3]
    people()("compare", [pair(row) for row in rows])
    before = counts(written, "reply-compare")
    assert len(before) == 3
    people()("compare", [pair(row) for row in rows])
    assert counts(written, "reply-compare") == before
    answer_all(written, lambda question, content: {"winner": "tie"})
    assert people(run="r2")("compare", [pair(row) for row in rows]).keys() == {f"{row.id}#" for row in rows}  # what is known isn't asked


def counts(project: Project, question: str) -> dict[str, slots.SlotCounts]:
    with project.database.reading() as connection:
        return slots.counts_by_item(connection, questions.get(connection, question)[0])


def test_what_matters_most_is_handed_out_first(written, snapshot, people, answer_all):
    asked = [pair(row, priority=place % 5) for place, row in enumerate(rows_of(snapshot)[:10])]
    people()("compare", asked)
    contents = []

    def tie(question: str, content: Mapping) -> object:
        contents.append(content.get("prompt"))
        return {"winner": "tie"}

    answer_all(written, tie)
    priority = {each.content["prompt"]: each.priority for each in asked}
    handed = [priority[prompt] for prompt in contents]
    assert len(handed) == 10
    assert handed == sorted(handed, reverse=True)


def test_levels_keep_the_order_and_are_few():
    assert _priority_levels([0.5, 0.1, 0.5]) == [6, 1, 6]
    many = _priority_levels([float(n) for n in range(1000)])
    assert many == sorted(many)
    assert set(many) == set(range(1, 11))


def test_no_more_items_than_the_limit_and_those_that_matter_most(written, snapshot, people):
    rows = rows_of(snapshot)[:6]
    asked = [pair(row, priority=place) for place, row in enumerate(rows)]
    ask = people(4)
    ask("compare", asked)
    contents = [item_prompt(written, item) for item in counts(written, "reply-compare")]
    assert sorted(contents) == sorted(row.content["prompt"] for row in rows[2:])
    assert ask.excess_count == 2
    again = people(4)  # after a kill
    again("compare", asked)
    again("good", [draft(rows[0])])
    assert len(counts(written, "reply-compare")) == 4
    assert again.count_progress()["reply-compare"].item_count == 4


def item_prompt(project: Project, item: str) -> str:
    from preceptor.storage import items

    with project.database.reading() as connection:
        return items.contents(connection, [item])[item]["prompt"]


def test_held_out_rows_and_their_prompts_are_never_asked_about(written, snapshot, people):
    ask = people()
    for side in ("validation", "test"):
        row = rows_of(snapshot, side)[0]
        with pytest.raises(UserError, match="validation and test rows"):
            ask("compare", [pair(row)])
        shouted = {"prompt": f"  {row.content['prompt'].upper()}", "responses": ["No."]}
        with pytest.raises(UserError, match="validation and test rows"):
            ask("good", [FeedbackRequest("x", shouted)])


BAD = [
    ("compare", FeedbackRequest("x", {"prompt": "Why?", "responses": ["one"]}), "x: 'compare' can't be asked about this content"),
    ("good", FeedbackRequest("x", {"responses": ["one"]}), "x: 'good' can't be asked about this content"),
    ("correct", FeedbackRequest("x", {"text": "Why?", "responses": ["one"]}), "x: 'correct' can't be asked about this content"),
    (
        "good",
        FeedbackRequest("x", {"prompt": "Why?", "responses": ["one"]}, float("nan")),
        "x: a priority must be a finite number, not nan",
    ),
    ("label", FeedbackRequest("p-40", {"prompt": "Why?"}), "people can't be asked to label by 'reply'"),
]


@pytest.mark.parametrize(("kind", "asked", "words"), BAD, ids=[f"{kind} {words[:12]}" for kind, _, words in BAD])
def test_what_cant_be_asked_is_said(people, kind, asked, words):
    with pytest.raises(UserError) as found:
        people()(kind, [asked])
    assert words in str(found.value)


def test_the_group_of_a_prompt_stays_with_it(written, snapshot, people):
    from preceptor.storage import items

    row = rows_of(snapshot)[0]
    people()("compare", [pair(row), pair(row, mark="again")])
    people()("compare", [FeedbackRequest("y", {"prompt": "Something new?", "responses": ["a", "b"]})])
    with written.database.reading() as connection:
        found = list(items.stream(connection, "training/reply-compare"))
    assert [item.group for item in found[:2]] == [row.group] * 2
    assert found[2].group.startswith("prompt-")
    assert found[0].metadata == {"run": "r1", "recipe": "grpo", "asked": f"{row.id}#"}


def test_answers_become_snapshots_with_their_lineage(written, snapshot, people, answer_all):
    rows = rows_of(snapshot)
    ask = people()
    ask("compare", [pair(row) for row in rows])
    ask("correct", [draft(row, f"Draft for {row.id}.") for row in rows])

    def answer(question: str, content: Mapping) -> object:
        if question == "reply-compare":
            return {"winner": len(content["prompt"]) % 2}
        return {"text": "Better: " + content["completion"], "from": content["completion"]}

    answer_all(written, answer)
    compared = written.snapshot("reply-compare")
    assert {row.content["responses"][0] for row in compared.rows()} == {"Sorry. "}
    assert all(row.lineage for row in compared.rows())
    assert {row.group for row in compared.rows()} <= {row.group for row in snapshot.rows("train")}
    corrected = next(iter(written.snapshot("reply-correct").rows()))
    assert corrected.answer == f"Better: {corrected.content['draft']}"
    assert "completion" not in corrected.content
    assert written.lineage("ann")["snapshots"]


def test_a_run_waits_goes_on_and_is_told_apart_from_one_without_people(written, snapshot, base, answer_all):
    def train(**more):
        return written.train("stand_in", snapshot=snapshot, base=base, compare=2, correct=1, good=1, **more)

    with pytest.raises(WaitsForHumans, match=r"4 answers are missing: 4 items wait for people at http://127.0.0.1:8000/work") as waits:
        train(human_feedback=True)
    assert waits.value.exit_code == 3
    assert waits.value.document["waiting"]["by_question"]["reply-compare"] == {"asked": 2, "waiting": 2}
    assert waits.value.document["waiting"]["cost"] == pytest.approx(0.2)
    say = {"reply-compare": {"winner": 1}, "reply-correct": "Better.", "reply-good": "good"}
    answer_all(written, lambda question, content: say[question])
    model = train(human_feedback=True)
    assert set(model.manifest["said"]["correct"].values()) == {"Better."}
    assert train(human_feedback=True).id == model.id  # done, and not asked again
    simulated = train(human_feedback=lambda kind, asked: {each.id: "x" for each in asked})
    assert set(simulated.manifest["said"]["correct"].values()) == {"x"}


def test_a_limit_that_stops_a_run_is_told(written, snapshot, base, answer_all):
    def train(most: int):
        return written.train("stand_in", snapshot=snapshot, base=base, compare=3, human_feedback=True, max_queries=most)

    with pytest.raises(WaitsForHumans, match="2 items wait"):
        train(2)
    answer_all(written, lambda question, content: {"winner": 0})
    with pytest.raises(UserError, match=r"1 items? more than the 2 that it may.*--max-queries 3") as stopped:
        train(2)
    assert not isinstance(stopped.value, FeedbackPending)
    with pytest.raises(WaitsForHumans, match="1 item waits"):
        train(3)
    for wrong in ({"human_feedback": False, "max_queries": 3}, {"human_feedback": True, "max_queries": 0}):
        with pytest.raises(UserError, match="a limit of what people are asked"):
            written.train("stand_in", snapshot=snapshot, base=base, **wrong)
