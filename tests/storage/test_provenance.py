"""Where rows come from, on both databases."""

from __future__ import annotations

from preceptor import Project
from preceptor.storage import provenance


def test_who_judged_stays_known_after_a_retraction_and_items_know_when_they_came(database_url, tmp_path):
    project = Project.create(tmp_path / "p", database=database_url)
    project.add_question("mood", "choice", ["bad", "good"])
    project.add_items({"id": f"i-{n}", "text": f"text {n}"} for n in range(3))
    for who in ("bob", "ann"):
        project.add_annotator(who)
    numbers = [project.judge(f"i-{n}", "mood", annotator=who, answer="bad") for n in range(3) for who in ("bob", "ann")]
    project.retract("ann", by="boss", reason="asleep")
    with project.database.reading() as connection:
        assert provenance.count_judgments_by_annotator(connection, numbers) == {"ann": 3, "bob": 3}
        assert provenance.count_judgments_by_annotator(connection, numbers[:1]) == {"bob": 1}
        assert provenance.count_judgments_by_annotator(connection, []) == {}
        came = provenance.item_arrival_times(connection, ["i-0", "i-2", "none"])
    assert set(came) == {"i-0", "i-2"}
    assert min(came.values()) > 1.6e9
    project.close()
