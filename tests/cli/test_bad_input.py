"""Bad input gets one line that says where and what to do, exit code 1, and nothing half-imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor import Project


def held(folder: Path) -> tuple[int, int]:
    """Items and judgments of the project."""
    project = Project.open(folder)
    status = project.status()
    project.close()
    return status["items"], status["judgments"]


def one_line(ran, *parts: str) -> None:
    """The command was refused in one line that holds these parts, and wrote nothing else."""
    assert ran.code == 1, ran.err
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1, ran.err
    for part in parts:
        assert part in ran.err


WITHOUT_TORCH = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Gone())
from preceptor.cli.main import main
main(sys.argv[1:])
"""
FIRST = "id,text,label\n" + "".join(f"r-{n},review {n},positive\n" for n in range(700))


@pytest.mark.parametrize(
    ("content", "where", "what", "todo"),
    [
        (FIRST + "r-x,more,postive\n", "rows.csv:702", "'postive' is not an option of 'sentiment'", "options: negative, positive"),
        (FIRST + "r-1,changed,positive\n", "rows.csv:702", "'r-1' is there already with other content", "give the changed text a new id"),
        (FIRST + 'r-x,"' + "x" * 10_000_000 + '",positive\n', "rows.csv:702", "'text' holds 10,000,000 characters", "split the text"),
        (FIRST + "r-x,caf\xe9,positive\n", "rows.csv:702", "not UTF-8: 0xE9 at column 8", "save the file as UTF-8"),
        (FIRST + "r-x,one,too,many\n", "rows.csv:702", "4 cells", ""),
        ("", "rows.csv", "the file is empty", "export it again"),
        ("id,text,label\n", "rows.csv", "no rows", "check that it is the file"),
        ("id,txt,label\nr-1,first,positive\n", "rows.csv:2", "no column 'text'", "did you mean 'txt'"),
    ],
    ids=["option", "duplicate", "10 MB", "UTF-8", "ragged", "empty", "header only", "column"],
)
def test_a_bad_csv(run, shop, content, where, what, todo):
    Path("rows.csv").write_bytes(content.encode("latin-1"))
    one_line(run("import", "rows.csv", "--question", "sentiment", "--text", "text"), where, what, todo)
    assert held(shop) == (0, 0)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"id": "b", "text": NaN, "label": "positive"}', "NaN"),
        ('{"id": "b", "text": "second", "label": NaN}', "NaN"),
        ('{"id": "b", "text": "second", "label": "positive", "stars": Infinity}', "Infinity"),
        ('{"id": 1.5, "text": "second", "label": "positive"}', "id must be text or a whole number"),
        ('{"id": "b", "text": null, "label": "positive"}', "no content"),
        ('{"id": "b", "text": "half \\ud83d", "label": "positive"}', "surrogate"),
        ('{"id": "b", "text": "second", "label": "positive"', "JSON"),
        ('["b"]', "object"),
    ],
)
def test_a_bad_json_line(run, shop, line, what):
    Path("rows.jsonl").write_text('{"id": "a", "text": "first", "label": "positive"}\n' + line + "\n")
    one_line(run("import", "rows.jsonl", "--question", "sentiment"), "rows.jsonl:2", what)
    assert held(shop) == (0, 0)


def test_a_judgment_for_an_unknown_item(run, judged_shop):
    Path("more.csv").write_text("item,annotator,answer\nr-1,cid,positive\nr-99,cid,positive\n")
    one_line(run("import", "more.csv", "--question", "sentiment"), "more.csv:3", "unknown item 'r-99'", "import the items first")
    assert held(judged_shop) == (60, 120)


def test_a_file_that_is_not_there(run, shop):
    Path("reviews.csv").touch()
    one_line(run("import", "review.csv"), "review.csv", "no such file", "did you mean 'reviews.csv'")


def test_a_question_that_is_not_there(run, judged_shop):
    one_line(run("import", "reviews.jsonl", "--question", "sentimnt"), "no question is called 'sentimnt'", "did you mean 'sentiment'")
    one_line(run("aggregate", "sentimnt"), "no question is called 'sentimnt'")


def test_a_snapshot_of_nothing(run, shop):
    one_line(run("snapshot", "create", "sentiment"), "nobody has judged 'sentiment' yet", "preceptor import")
    assert run("snapshot", "list", "--json").document == {"snapshots": []}


def test_a_split_in_which_a_class_is_missing(run, shop):
    rows = "".join(f"r-{n},review number {n},{'positive' if n else 'negative'}\n" for n in range(40))
    Path("rows.csv").write_text("id,text,label\n" + rows)
    assert run("import", "rows.csv", "--question", "sentiment").code == 0
    refused = run("snapshot", "create", "--method", "majority")
    one_line(refused, "no row of class 'negative' in the ", "its rows stand in 1 group", "judge more items of that class")
    assert run("snapshot", "list", "--json").document == {"snapshots": []}


def test_a_base_model_that_is_not_there(run, judged_shop):
    assert run("snapshot", "create", "--name", "v1").code == 0
    one_line(run("train", "classify", "--snapshot", "v1", "--base", "minilmm"), "no base model 'minilmm'", "minilm, smollm2")
    Path("empty").mkdir()
    one_line(run("train", "classify", "--snapshot", "v1", "--base", "empty"), "empty")


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("epoch=3", "did you mean 'epochs'"),
        ("epochs=many", "epochs: "),
        ("epochs=-1", "epochs: "),
        ("epochs=NaN", "epochs: "),
        ("epochs=Infinity", "epochs: "),
        ("epochs", "written key=value"),
        ("=3", "written key=value"),
        ("seed=3", "--seed VALUE"),
    ],
)
def test_an_unknown_or_unfit_option(run, judged_shop, option, what):
    assert run("snapshot", "create", "--name", "v1").code == 0
    one_line(run("train", "classify", "--snapshot", "v1", "--base", "minilm", "-o", option), what)


def test_names_that_are_not_there(run, judged_shop):
    assert run("snapshot", "create", "--name", "v1").code == 0
    one_line(run("train", "classfy", "--snapshot", "v1", "--base", "minilm"), "no recipe is called 'classfy', did you mean 'classify'")
    one_line(run("train", "classify", "--snapshot", "v2", "--base", "minilm"), "no snapshot is called 'v2'", "known: v1")
    one_line(run("evaluate", "m-1"), "no model is called 'm-1'", "none yet")
    one_line(run("aggregate", "sentiment", "--method", "majorty"), "did you mean 'majority'")
    one_line(run("lineage", "zz"), "nothing here is called 'zz'")
    one_line(run("export", "judgement", "out.csv"), "no 'judgement' to export", "items, judgments, consensus")
    one_line(run("export", "items", "out.xyz"), "out.xyz", "can't tell the format")
    one_line(run("people", "retract", "anne", "--by", "me", "--reason", "x"), "did you mean 'ann'")
    assert not Path("out.csv").exists()


def test_a_folder_without_a_project(run, tmp_path):
    one_line(run("status", "--project", tmp_path / "none"), "there is no project in", "preceptor init")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("name = ", "can't be read"),
        ('kind = "choice"\noptions = ["a", "b"]', "needs a name"),
        ('name = "q"\nkind = "choice"\noptions = "a,b"', "options must be a list"),
        ('name = "q"\nkind = "choice"\noptions = ["a", "b"]\nsettings = ["x"]', "settings must be a table"),
        ('name = "q"\nkind = "choice"\noptions = ["a", "b"]\n[settings]\nname = "x"', "'name' is no setting"),
        ('name = "q"\nkind = "choice"\noptions = ["a", "b"]\ncolour = 1', "no setting 'colour'"),
    ],
)
def test_a_bad_question_file(run, shop, text, what):
    Path("bad.toml").write_text(text)
    one_line(run("question", "add", "bad.toml"), what)
    assert [row["name"] for row in run("question", "list", "--json").document["questions"]] == ["sentiment"]


def test_with_json_the_error_is_the_document(run, shop):
    ran = run("import", "gone.csv", "--json")
    assert ran.code == 1
    assert ran.document["error"]["message"] == "no such file"
    assert ran.document["error"]["where"] == "gone.csv"
    assert ran.err.startswith("error: ")


def test_a_missing_package_comes_with_its_command(judged_shop):
    """A Python in which torch can't be imported, as after `pip install preceptor` without extras."""

    def run(*args):
        return subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *args], capture_output=True, text=True, check=False)

    assert run("snapshot", "create", "--name", "v1").returncode == 0
    assert run("status").returncode == run("doctor").returncode == run("--help").returncode == 0
    refused = run("train", "classify", "--snapshot", "v1", "--base", "minilm", "--json")
    assert refused.returncode == 1
    assert refused.stderr == "error: packages for training and local models aren't installed; pip install 'preceptor[train]'\n"
    assert json.loads(refused.stdout)["error"]["hint"] == "pip install 'preceptor[train]'"


def test_a_project_that_cannot_be_written(run, judged_shop):
    Path("preceptor.db-queue").unlink()
    Path("preceptor.db-queue").mkdir()  # refused to root, too
    one_line(run("status"), "preceptor.db-queue", "the project can't be written to", "check")


def test_a_folder_is_no_question_file(run, shop):
    one_line(run("question", "add", "."), ".: can't be read", "JSON or TOML")


def test_a_question_file_may_begin_with_a_byte_order_mark(run, shop):
    Path("mood.json").write_text('{"name": "mood", "kind": "choice", "options": ["a", "b"]}', encoding="utf-8-sig")
    assert run("question", "add", "mood.json").code == 0
