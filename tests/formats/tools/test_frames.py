"""crowd-kit's frames and cleanlab's matrix, as these libraries take them."""

from __future__ import annotations

import pandas as pd
import pytest
from crowdkit.aggregation import BradleyTerry, MajorityVote

from preceptor.errors import UserError
from preceptor.formats import read, write


def judged(kind, answer, who="ada", question="tone", **fields):
    return {"question": question, "kind": kind, "answer": answer, "annotator": who, **fields}


def item(number, *judgments, **content):
    return {"id": f"i-{number}", **(content or {"text": "x"}), "judgments": list(judgments)}


TONES = [
    item(1, judged("choice", "angry"), judged("choice", "angry", "bob"), judged("choice", "calm", "cy")),
    item(2, judged("choice", "NA")),
]
BETTER = {"winner": 1, "order": [1, 0], "reasons": "shorter"}


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # crowd-kit's own call, in pandas 3.1
def test_crowd_kit_fits_what_is_written(tmp_path):
    write(TONES, tmp_path / "a.csv", "crowdkit")
    frame = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert list(frame.columns) == ["task", "worker", "label", "preceptor"]
    assert MajorityVote().fit_predict(frame).to_dict() == {"i-1": "angry", "i-2": "NA"}


def test_crowd_kit_fits_pairs_whose_sides_carry_their_item(tmp_path):
    rows = [item(n, judged("compare", BETTER), prompt="q", responses=["a", "b"]) for n in (1, 2)]
    write(rows, tmp_path / "a.csv", "crowdkit")
    scores = BradleyTerry(n_iter=10).fit_predict(pd.read_csv(tmp_path / "a.csv"))
    assert set(scores.index) == {"i-1:0", "i-1:1", "i-2:0", "i-2:1"}
    assert scores["i-1:1"] > scores["i-1:0"]
    assert [row["judgments"] for row in read(tmp_path / "a.csv")] == [row["judgments"] for row in rows]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("choice", "[1, 2]"),
        ("choice", '["a"]'),
        ("rating", 4),
        ("rating", -1.5),
        ("multilabel", ["a", "b,c"]),
        ("multilabel", []),
        ("write", {"text": "💩\r\n", "from": "x"}),
    ],
)
def test_answers_come_back_with_all_that_was_known(tmp_path, kind, answer):
    given = judged(kind, answer, time="2026-01-01T00:00:00+00:00", seconds=2.5, note="why")
    write([item(1, given)], tmp_path / "a.csv", "crowdkit")
    assert list(read(tmp_path / "a.csv")) == [{"id": "i-1", "judgments": [given]}]


def test_a_frame_as_crowd_kit_s_data_sets_have_it(tmp_path):
    (tmp_path / "a.csv").write_text("task,performer,label\nt1,w1,yes\nt1,w2,\nt2,w1,no\n")
    found = read(tmp_path / "a.csv")
    assert [(row["id"], row["judgments"]) for row in found] == [
        ("t1", [{"question": "label", "kind": "choice", "answer": "yes", "annotator": "w1"}]),
        ("t2", [{"question": "label", "kind": "choice", "answer": "no", "annotator": "w1"}]),
    ]
    assert (found.format, found.warnings) == ("crowdkit", ["1 rows without a label are left out"])


def test_a_pair_of_its_own_is_an_item_of_two_texts(tmp_path):
    (tmp_path / "a.csv").write_text("worker,left,right,label\nw1,a,b,b\nw1,a,b,c\n")
    faults = []
    (row,) = read(tmp_path / "a.csv", on_fault=faults.append)
    assert row["responses"] == ["a", "b"]
    assert row["judgments"][0]["answer"]["winner"] == 1
    assert (faults[0].where, faults[0].message) == ("a.csv:3", "the label 'c' is not one of two sides")


@pytest.mark.parametrize("header", ["task,worker,label,extra", "task,label", "id,worker,label", "task,worker,worker"])
def test_other_columns_are_another_table(tmp_path, header):
    (tmp_path / "a.csv").write_text(f"{header}\n" + ",".join("x" * len(header.split(","))) + "\n")
    assert read(tmp_path / "a.csv").format == "csv"


@pytest.mark.parametrize("format", ["crowdkit", "cleanlab"])
@pytest.mark.parametrize(
    ("second", "message"),
    [
        (judged("choice", "calm", status="draft"), "a draft answer is no"),
        (judged("choice", "calm", "bob", question="other"), "holds one question; this one is 'other'"),
        (judged("spans", [], "bob"), "spans"),
    ],
)
def test_what_a_frame_can_t_hold_names_the_row(tmp_path, format, second, message):
    with pytest.raises(UserError, match=f"row 2: .*{message}"):
        write([item(1, judged("choice", "calm")), item(2, second)], tmp_path / "a.csv", format)


def test_a_tie_has_no_place_in_a_frame(tmp_path):
    tie = judged("compare", {"winner": "tie", "order": None, "reasons": ""})
    with pytest.raises(UserError, match="row 1: the winner is 'tie'"):
        write([item(1, tie)], tmp_path / "a.csv", "crowdkit")


def test_a_matrix_numbers_the_classes_and_its_index_says_which(tmp_path):
    write(TONES, tmp_path / "a.csv", "cleanlab")
    matrix = pd.read_csv(tmp_path / "a.csv", index_col=0)
    assert matrix.loc["i-1"].to_dict() == {"ada": 1, "bob": 1, "cy": 2}
    assert matrix.loc["i-2"].isna().tolist() == [False, True, True]
    assert matrix.index.name == 'example {"question": "tone", "classes": ["NA", "angry", "calm"]}'
    found = read(tmp_path / "a.csv")
    assert [row["judgments"] for row in found] == [row["judgments"] for row in TONES]
    assert found.format == "cleanlab"


def test_ratings_stay_ratings_in_a_matrix(tmp_path):
    rows = [item(1, judged("rating", 4), judged("rating", 2.5, "bob"))]
    write(rows, tmp_path / "a.csv", "cleanlab")
    assert [row["judgments"] for row in read(tmp_path / "a.csv")] == [row["judgments"] for row in rows]


def test_a_matrix_as_pandas_writes_it(tmp_path):
    frame = pd.DataFrame({"ann": [1, None], "bob": [0, 1]}, index=pd.Index(["i-7", "i-8"], name="example"))
    frame.to_csv(tmp_path / "a.csv")
    assert "1.0" in (tmp_path / "a.csv").read_text()
    rows = list(read(tmp_path / "a.csv"))
    assert rows[0]["judgments"] == [judged("choice", "1", "ann", "label"), judged("choice", "0", "bob", "label")]
    assert rows[1] == {"id": "i-8", "judgments": [judged("choice", "1", "bob", "label")]}


def test_a_matrix_of_texts_is_refused_by_cell(tmp_path):
    (tmp_path / "a.csv").write_text("example,ann,bob\ni-7,1,yes\n")
    with pytest.raises(UserError) as caught:
        list(read(tmp_path / "a.csv", "cleanlab"))
    assert (caught.value.where, caught.value.message) == ("a.csv:2", "column 'bob' holds 'yes', which is no class")
