"""What is at hand in a project, which short trainings are made of it, and what the command makes of that."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from preceptor import Project, UserError
from preceptor.runs import auto_recipe as choosing_technique
from preceptor.runs.auto_recipe import describe_available_data, select_recipe
from preceptor.training import recipes
from tiny_models import NEXT, save_decoder, save_encoder

WORDS = {"negative": "bad awful broken poor", "neutral": "box cable blue page", "positive": "good great love fine"}
ANSWERS = tuple(WORDS)
SHORT = {"learning_rate": 3e-3, "epochs": 1, "dtype": "float32"}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(choosing_technique, "_PILOT_SEEDS", 1)
    monkeypatch.setattr(choosing_technique, "_PILOT_ROWS", 60)
    monkeypatch.setattr("preceptor.training.self_training.MIN_STEPS", 2)
    how = {"classify": {**SHORT, "min_steps": 2}, "self_training": {**SHORT, "rounds": 1}, "setfit": {**SHORT, "min_steps": 2}}
    monkeypatch.setattr(choosing_technique, "PILOT_OPTIONS", {**choosing_technique.PILOT_OPTIONS, **how})


@pytest.fixture
def encoder(tmp_path):
    return save_encoder("bert", tmp_path / "tiny-bert")


def reviews(folder, judged=90, more=160):
    project = Project.create(folder)
    project.add_question("sentiment", "choice", list(ANSWERS))
    words = [WORDS[ANSWERS[number % 3]].split() for number in range(judged + more)]
    texts = [f"text {n}: {each[n // 3 % 4]} and {each[n // 12 % 4]} it is, number {n * 7919 % 1000}" for n, each in enumerate(words)]
    project.add_items([{"id": f"i-{number}", "text": text} for number, text in enumerate(texts)])
    project.add_annotator("ann")
    for number in range(judged):
        project.judge(f"i-{number}", "sentiment", annotator="ann", answer=ANSWERS[number % 3])
    project.snapshot("sentiment", name="v1", seed=1)
    return project


def test_short_trainings_are_held_against_the_plain_one_on_validation(tmp_path, encoder):
    with closing(reviews(tmp_path / "reviews")) as project:
        snapshot = project.load_snapshot("v1")
        found = select_recipe(project, snapshot, encoder)
        assert 100 <= found.available_data.unlabelled <= 160  # but those that are nearly the same as a held-out row
        assert set(found.decision.pilots) == {"classify", "linear_probe", "setfit", "self_training"}
        validation = {row.group for row in snapshot.rows("validation")}
        for name, pilot in found.decision.pilots.items():
            assert pilot.value.n == len(validation)
            assert (pilot.gain is None) == (name == "classify")
            assert pilot.gain is None or pilot.gain.confidence == pytest.approx(1 - 0.05 / 3)
            rows, texts = found.available_data.rows, found.available_data.unlabelled
            more = (rows + 3 * (rows + texts)) / (pilot.rows + pilot.rows + texts) if name == "self_training" else rows / pilot.rows
            assert found.expected_seconds(name) == pytest.approx(pilot.seconds * more)
        document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert document["technique"] == found.recipe
        assert document["summary"]
        assert not project.status().get("models")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(choosing_technique, "time", None)  # which a training would look at
            assert select_recipe(project, snapshot, encoder).to_dict() == found.to_dict()
        from preceptor.storage import artifacts

        with project.database.reading() as connection:
            assert not artifacts.latest_reports(connection, "test")

        project.add_items([{"id": "new", "text": "a fine page that arrived long after everything else had been read"}])
        before = {path.name for path in (project.folder / "runs" / "auto").iterdir()}
        select_recipe(project, snapshot, encoder)
        new = {path.name for path in (project.folder / "runs" / "auto").iterdir()} - before
        assert [name.split("-")[0] for name in new] == ["self_training"], "which alone reads what came"


def test_by_the_rules_alone_nothing_is_trained(tmp_path, encoder):
    with closing(reviews(tmp_path / "reviews", more=0)) as project:
        found = select_recipe(project, project.load_snapshot("v1"), encoder, pilots=False)
        assert (found.recipe, found.seconds, dict(found.decision.pilots)) == ("classify", 0.0, {})
        why = {each.name: each.reason for each in found.decision.candidates}
        assert why["self_training"] == "0 items that nobody has judged, and it takes 100"
        assert not (project.folder / "runs" / "auto").exists()


def test_written_answers_and_what_replaces_a_draft_are_known_apart(tmp_path):
    decoder = save_decoder("llama", tmp_path / "tiny-llama")
    with closing(Project.create(tmp_path / "help")) as project:
        project.add_question("answer", "write", instructions="Answer the customer.")
        asked = [f"What comes after {word}{', ' * times}?" for times in range(5) for word in NEXT]
        project.add_items([{"id": f"i-{number}", "prompt": text} for number, text in enumerate(asked)])
        project.add_annotator("eve")
        for number, text in enumerate(asked):
            project.judge(f"i-{number}", "answer", annotator="eve", answer=f"It is {NEXT[text.split()[3].strip('?,')]}.")
        snapshot = project.snapshot("answer", name="v1")
        found = describe_available_data(project, snapshot, decoder)
        assert (found.judgment_form, found.corrected, found.is_generative) == ("texts", 0, True)
        chosen = select_recipe(project, snapshot, decoder)
        assert (chosen.recipe, chosen.seconds) == ("sft", 0.0)
        assert "answers that people wrote" in chosen.decision.summary


def test_comparisons_are_pairs_and_judged_responses_are_thumbs(tmp_path, encoder):
    with closing(Project.create(tmp_path / "help")) as project:
        project.add_question("better", "compare")
        project.add_question("useful", "choice", ["good", "bad"])
        items = [{"id": f"p-{n}", "prompt": f"Question {n} about it?", "responses": [f"yes {n}", f"no {n}"]} for n in range(40)]
        project.add_items(items)
        project.add_annotator("eve")
        for number in range(40):
            project.judge(f"p-{number}", "better", annotator="eve", answer=str(number % 2))
        pairs = describe_available_data(project, project.snapshot("better", name="v1"), encoder)
        assert (pairs.judgment_form, pairs.unlabelled) == ("pairs", 0)
        with pytest.raises(UserError, match="no base model"):
            select_recipe(project, project.load_snapshot("v1"), "no-such")


def test_the_command_tells_first_and_then_trains_what_was_chosen(tmp_path, encoder, run):
    reviews(tmp_path / "reviews").close()
    command = ["train", "auto", "--project", tmp_path / "reviews", "--snapshot", "v1", "--base", encoder]
    told = run(*command, "--dry-run")
    assert told.code == 0
    assert "linear_probe" in told.out
    assert "<-" in told.out
    refused = run(*command, "-o", "epochs=1")
    assert (refused.code, "an option belongs to one" in refused.err) == (1, True)
    document = json.loads(run(*command, "--dry-run", "--json").out)
    assert document["technique"] in recipes.names()
    done = run(*command, "--json")
    assert done.code == 0, done.err
    trained = json.loads(done.out)
    assert trained["chosen"]["technique"] == document["technique"]
    with closing(Project.open(tmp_path / "reviews")) as project:
        assert project.model(trained["model"]).manifest["recipe"] == document["technique"]
