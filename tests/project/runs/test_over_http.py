"""From the command line and back: a run asks, is killed, people answer over HTTP, the same command goes on."""

from __future__ import annotations

import httpx
import pytest

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.runs.human_feedback import WaitsForHumans
from preceptor.training import recipes


@pytest.fixture
def command(run, written, snapshot, base):
    """Runs `preceptor train stand_in` with what is asked for."""

    def call(*more: str):
        return run(
            "train", "stand_in", "--project", written.folder, "--snapshot", "v1", "--base", base, *more, "--human-feedback", "--json"
        )

    return call


def answers(url: str, token: str, say) -> list[dict]:
    """All that somebody is handed for runs, answered over the API; what they were shown."""
    seen = []
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=120) as client:
        while (found := client.get("/api/v1/next")).status_code == 200:
            work = found.json()
            if work["question"]["name"] == "reply":
                break
            seen.append(work)
            sent = {"slot": work["slot"], "answer": say(work["question"]["name"], work["item"]), "seconds": 3.0, "key": f"k-{work['slot']}"}
            assert client.post("/api/v1/judgments", json=sent).status_code == 201
    return seen


def test_a_run_is_killed_between_asking_and_answering_and_the_same_command_goes_on(command, written, serve, monkeypatch):
    real = recipes.get("stand_in")

    def killed(asking, options):
        asking.ask("compare", [])  # nothing is put twice whatever happens here
        try:
            return real(asking, options)
        finally:
            raise KeyboardInterrupt

    killed.Options = real.Options
    monkeypatch.setitem(recipes._known, "stand_in", killed)
    options = ("-o", "compare=2", "-o", "correct=2", "-o", "good=1")
    assert command(*options).code == 130
    monkeypatch.setitem(recipes._known, "stand_in", real)

    waits = command(*options)
    assert waits.code == 3
    assert waits.document["waiting"]["items"] == 5
    assert waits.document["waiting"]["by_question"]["reply-correct"] == {"asked": 2, "waiting": 2}
    assert waits.document["waiting"]["page"].endswith("/work")
    assert "run the same command again" in waits.document["summary"]

    served = serve(written)
    token = AccessControl(written).invite("ann", "annotator")["token"]

    def say(question: str, item: dict):
        if question == "reply-compare":
            return {"winner": 1, "order": [1, 0]}
        return {"reply-correct": {"text": "We are sorry.", "from": item["content"].get("completion")}, "reply-good": "bad"}[question]

    seen = answers(served.url, token, say)
    assert [work["question"]["name"] for work in seen].count("reply-compare") == 2
    for work in seen:
        assert "grpo" not in str(work)
        assert "metadata" not in work["item"]  # nobody is told where an answer comes from

    done = command(*options)
    assert done.code == 0, done.err
    assert done.document["people"]["reply-compare"] == {"asked": 2, "waiting": 0}
    model = written.model(done.document["model"])
    assert set(model.manifest["said"]["correct"].values()) == {"We are sorry."}
    assert all(found["1"] > 0.5 for found in model.manifest["said"]["compare"].values())
    assert written.lineage("ann")["judgments"]


def test_a_models_text_is_shown_as_text_and_a_draft_can_be_corrected_on_the_page(written, snapshot, serve, tmp_path):
    from preceptor.runs.human_feedback import ProjectAnnotators
    from preceptor.runs.unlabelled_pool import PromptGroups
    from preceptor.training.recipe import FeedbackRequest

    row = next(snapshot.rows("train"))
    evil = "</textarea><script>document.title = 'taken'</script> & more"
    turns = [
        {"role": "user", "content": row.content["prompt"]},
        {"role": "assistant", "content": "Hm."},
        {"role": "user", "content": "So?"},
    ]
    ask = ProjectAnnotators(written, snapshot, tmp_path / "r", PromptGroups(snapshot), {})
    asked = [FeedbackRequest("a", {"messages": turns, "responses": [evil]})]
    for kind in ("correct", "good"):
        assert ask(kind, asked) == {}
    token = AccessControl(written).invite("ann", "annotator")["token"]
    with httpx.Client(base_url=serve(written).url, headers={"authorization": f"Bearer {token}"}, timeout=120) as client:
        pages = []
        for answer in ({"text": evil, "from": evil}, "good"):
            pages.append(client.get("/work").text)
            work = client.get("/api/v1/next").json()
            assert client.post("/api/v1/judgments", json={"slot": work["slot"], "answer": answer}).status_code == 201
    for page in pages:
        assert "<script>document.title" not in page
        assert "So?" in page
        assert "&lt;script&gt;document.title" in page
    assert ask("correct", asked) == {"a": evil}
    assert ask("good", asked)["a"]["good"] > 0.5


def test_who_asks_nobody_is_told_so(command, run, written, base):
    nobody = command()
    assert nobody.document["people"] == {}
    shown = run("train", "stand_in", "--project", written.folder, "--snapshot", "v1", "--base", base, "--human-feedback")
    assert "Nobody was asked: this run of stand_in had no question." in shown.out


def test_flags_that_mean_nothing_are_refused(run, written, snapshot, base):
    ran = run("train", "stand_in", "--project", written.folder, "--snapshot", "v1", "--base", base, "--max-queries", "3")
    assert ran.code == 1
    assert "a limit of what people are asked needs people to ask" in ran.err


def test_waiting_people_are_named_in_the_status(written, snapshot, base, run):
    run("train", "stand_in", "--project", written.folder, "--snapshot", "v1", "--base", base, "-o", "good=2", "--human-feedback")
    project = Project.open(written.folder)
    parts = {part["name"]: part for part in project.status()["questions"]}
    assert parts["reply-good"]["unfinished"] == 2
    project.close()


def test_both_databases_keep_what_is_asked_and_answered(database_url, monkeypatch, request, answer_all):
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    written, snapshot, base = (request.getfixturevalue(name) for name in ("written", "snapshot", "base"))

    def train():
        return written.train("stand_in", snapshot=snapshot, base=base, compare=2, correct=1, good=1, human_feedback=True)

    with pytest.raises(WaitsForHumans, match="4 items wait"):
        train()
    say = {"reply-compare": {"winner": 1}, "reply-correct": "Better.", "reply-good": "good"}
    assert len(answer_all(written, lambda question, content: say[question])) == 4
    assert train().manifest["people"]["reply-compare"] == {"asked": 2, "waiting": 0}
