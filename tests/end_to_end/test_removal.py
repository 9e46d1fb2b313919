"""A bad annotator's work taken out of real judgments: what rested on it is listed and made again, and digests differ exactly there.

`PRECEPTOR_CACHE` unset and `python -m tests.end_to_end.test_removal` show it on the real encoder.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from preceptor import Project

SET = "crowds/snow_rte"  # pairs of texts, of which one follows from the other or not; ten people about each (licence: MIT)
QUICK = ("-o", "l2=1.0", "-o", "dtype=float32")


def worst(folder: Path) -> str:
    """Who is right least often of those who answered a hundred times, by the known answers."""
    gold = {row["item"]: row["answer"] for row in rows(folder, "gold")}
    said, right = Counter[str](), Counter[str]()
    for row in rows(folder, "judgments"):
        said[row["worker"]] += 1
        right[row["worker"]] += gold.get(row["item"]) == row["answer"]
    return min((who for who in said if said[who] >= 100), key=lambda who: right[who] / said[who])


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def collect(folder: Path, place: Path, late: str) -> None:
    """A project of the set: everybody's judgments but theirs, frozen as `before`; then theirs, frozen as `after`."""
    project = Project.create(place)
    judged = rows(folder, "judgments")
    project.add_items({"id": row["item"], "text": row["text"]} for row in rows(folder, "items"))
    project.add_question("follows", "choice", sorted({row["answer"] for row in judged}), "Does the second text follow from the first?")
    for name in ("before", "after"):
        part = [row for row in judged if (row["worker"] == late) == (name == "after")]
        path = place / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "label", "annotator"), *((row["item"], row["answer"], row["worker"]) for row in part)])
        project.read(path, question="follows")
        project.snapshot("follows", name=name)
    project.close()


@pytest.fixture
def place(shared_data, tmp_path, tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    late = worst(shared_data / SET)
    collect(shared_data / SET, tmp_path / "rte", late)
    return tmp_path / "rte", late


def test_a_bad_annotators_work_is_taken_out_of_everything_that_rests_on_it(place, run):
    folder, late = place

    def done(*args):
        ran = run(*args, "--project", folder, "--json")
        assert ran.code == 0, ran.err
        return ran.document

    models = {name: done("train", "linear_probe", "--snapshot", name, "--base", "minilm", *QUICK)["model"] for name in ("before", "after")}
    digests = {row["name"]: row["digest"] for row in done("snapshot", "list")["snapshots"]}
    assert digests["before"] != digests["after"]
    made = done("people", "retract", late, "--by", "owner", "--reason", "answers at random", "--remake")
    assert made["judgments"] >= 100
    assert [each["name"] for each in made["affected"]["snapshots"]] == ["after"]
    assert made["affected"]["models"] == [models["after"]]
    (consensus,) = made["consensus"]
    assert consensus["after"] != consensus["before"]
    (snapshot,) = made["snapshots"]
    assert (snapshot["before"], snapshot["judgments_left"]) == (digests["after"], 0)
    assert snapshot["after"] == digests["before"]  # as though they had never come
    (model,) = made["models"]
    assert (model["before"], model["after"]) == (models["after"], models["before"])
    assert model["weights_before"] != model["weights_after"]
    assert {row["name"]: row["digest"] for row in done("snapshot", "list")["snapshots"]}.items() >= digests.items()
    assert late not in done("lineage", snapshot["new_name"])["annotators"]


if __name__ == "__main__":
    import sys
    import tempfile

    from preceptor.cli.main import main

    data, home = Path(__file__).parents[3] / "shared" / "data" / SET, Path(tempfile.mkdtemp()) / "rte"
    who = worst(data)
    collect(data, home, who)
    for each in (
        *(("train", "linear_probe", "--snapshot", name, "--base", "minilm") for name in ("before", "after")),
        ("people", "retract", who, "--by", "owner", "--reason", "answers at random", "--remake", *sys.argv[1:]),
    ):
        try:
            main([*each, "--project", str(home)])
        except SystemExit as ended:
            if ended.code:
                raise
