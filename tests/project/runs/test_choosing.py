"""Learning curves of a small project on tiny models, measured, taken up again, and what is refused."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from preceptor import Project, UserError
from preceptor.runs import method_comparison
from preceptor.runs.method_comparison import compare_methods
from tiny_models import save_decoder

WORDS = {"negative": "bad awful broken poor", "neutral": "box cable blue page", "positive": "good great love fine"}
ANSWERS = tuple(WORDS)


def add_reviews(project, count: int) -> None:
    rows = []
    for number in range(count):
        words = WORDS[ANSWERS[number % 3]].split()
        rows.append(
            {"id": f"i-{number}", "text": f"it is {words[number // 3 % 4]} and {words[number // 12 % 4]}, I say in my text {number}"}
        )
    project.add_items(rows)
    project.add_annotator("ann")
    for number in range(count):
        project.judge(f"i-{number}", "sentiment", annotator="ann", answer=ANSWERS[number % 3])


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_cache):
    """A project with some 170 training rows."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project = Project.create(tmp_path_factory.mktemp("choosing") / "reviews")
    project.add_question("sentiment", "choice", list(ANSWERS))
    add_reviews(project, 240)
    project.snapshot("sentiment", name="v1", seed=1)
    yield project
    project.close()
    patch.undo()


@pytest.fixture(scope="module")
def chosen(made):
    return compare_methods(made, made.load_snapshot("v1"), ways=["linear_probe"], at=[20, 100, 400, 100_000])


def test_it_measures_validation_and_says_what_pays(made, chosen):
    snapshot = made.load_snapshot("v1")
    assert [each.basis for each in chosen.advice[:2]] == ["measured", "measured"]
    assert chosen.advice[0].method == "linear_probe"
    assert (chosen.advice[-1].basis, chosen.advice[-1].method) == ("unknown", None)
    assert "more than 4 times" in chosen.advice[-1].summary
    assert {len(each.is_correct) for each in chosen.curve_points} == {sum(1 for _ in snapshot.rows("validation"))}
    assert chosen.rows == sum(1 for _ in snapshot.rows("train"))
    assert len({each.size for each in chosen.curve_points}) >= 5
    assert not [row for row in made.snapshots() if row["name"] != "v1"]
    json.dumps(chosen.to_dict(), allow_nan=False)
    with made.database.reading() as connection:
        from preceptor.storage import artifacts

        assert not artifacts.latest_reports(connection, "test")
        assert not artifacts.list_models(connection)


def test_what_was_measured_isnt_measured_again(made, chosen, monkeypatch):
    kept = sorted((made.folder / "runs").rglob("linear_probe-*.json"))
    assert len(kept) == len(chosen.curve_points)
    monkeypatch.setattr("preceptor.runs.method_comparison.recipes", None)
    again = compare_methods(made, made.load_snapshot("v1"), ways=["linear_probe"], at=[20, 100, 400, 100_000])
    assert again.to_dict() == chosen.to_dict()
    kept[0].unlink()
    with pytest.raises(AttributeError):  # this one would be trained
        compare_methods(made, made.load_snapshot("v1"), ways=["linear_probe"])


def test_the_picture_has_a_line_a_way_and_its_forecast(chosen, tmp_path):
    chosen.save_svg(tmp_path / "learning.svg")
    drawn = ElementTree.fromstring((tmp_path / "learning.svg").read_text(encoding="utf-8"))
    shapes = [element.get("class") for element in drawn.iter()]
    assert shapes.count("l0") == 2  # in the plot and its legend
    assert ("l0 f" in shapes) == chosen.methods[0].backtest.passed
    assert "linear probe" in "".join(drawn.itertext())


def test_few_shot_takes_part_where_a_writer_is_named(made, tmp_path, monkeypatch):
    writer = save_decoder("llama", tmp_path / "writer")
    monkeypatch.setitem(
        method_comparison.TRAINING_METHODS, "in_context", ("few-shot", "in_context", {"shots": 2, "calibration": 4, "max_tokens": 64})
    )
    monkeypatch.setattr(method_comparison, "_choose_sizes", lambda snapshot: [20, 24, 28, 32, 36])
    found = compare_methods(made, made.load_snapshot("v1"), writer=writer, ways=["in_context"])
    assert {each.method for each in found.advice} == {"in_context", None}
    assert found.to_dict()["curves"]["in_context"]["points"][0]["seconds"] > 0


def test_bad_input_is_refused_before_anything_is_trained(made, project, tmp_path, monkeypatch):
    monkeypatch.setattr("preceptor.runs.method_comparison.recipes", None)
    snapshot = made.load_snapshot("v1")
    with pytest.raises(UserError, match="'probe'"):
        compare_methods(made, snapshot, ways=["probe"])
    with pytest.raises(UserError, match=r"in_context starts from a model that writes.*--generative-base"):
        compare_methods(made, snapshot, ways=["in_context"])
    with pytest.raises(UserError, match="2 seeds"):
        compare_methods(made, snapshot, seeds=2)
    writer = save_decoder("llama", tmp_path / "writer")
    with pytest.raises(UserError, match="is not an encoder"):
        compare_methods(made, snapshot, base=writer)
    with pytest.raises(UserError, match="is not a causal model"):
        compare_methods(made, snapshot, writer="minilm", ways=["lora"])
    add_reviews(project, 60)
    with pytest.raises(UserError, match=r"training rows are too few for a learning curve.*80 training rows"):
        compare_methods(project, project.snapshot("sentiment"))


def test_an_answer_without_rows_is_named(project):
    add_reviews(project, 150)
    project.add_question("tone", "choice", ["loud", "soft", "silent"])
    project.add_annotator("ann")
    for number in range(150):
        project.judge(f"i-{number}", "tone", annotator="ann", answer=["loud", "soft"][number % 2])
    with pytest.raises(UserError, match="'silent'"):
        compare_methods(project, project.snapshot("tone"))


def test_the_command_shows_ways_costs_and_what_cant_be_known(made, chosen, run, tmp_path):
    out = tmp_path / "learning.svg"
    shown = run(
        "learning-curve", "v1", "--method", "linear_probe", "--sizes", 100, "--sizes", 100_000, "--project", made.folder, "--out", out
    )
    assert shown.code == 0
    assert "100 rows: linear_probe (measured)" in shown.out
    assert "100,000 rows: can't know" in shown.out
    assert "s of this machine" in shown.out
    assert out.exists()
    document = run("learning-curve", "v1", "--method", "linear_probe", "--project", made.folder, "--json").document
    assert {20, 200, 2000} <= {each["size"] for each in document["advice"]}
    assert document["curves"]["linear_probe"]["backtest"]["passed"] in (True, False)
    assert run("learning-curve", "v1", "--method", "nothing", "--project", made.folder).code == 1
