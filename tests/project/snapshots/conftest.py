"""A project with planted faults: duplicates, a group on two sides, personal data, wrong labels, rows without a text."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from preceptor import Project
from preceptor.snapshots.snapshot_checks import CheckFinding, SuspectRow

ANSWERS = ("negative", "neutral", "positive")
SAYS = {"negative": "bad awful broken poor worst", "neutral": "box cable blue two page", "positive": "good great love fine best"}


def fill(project: Project, count: int = 90) -> None:
    """Texts like no other, each in a group of two, judged alike by ann and bob."""
    project.add_question("mood", "choice", ANSWERS, "How does the writer feel?")
    project.add_items({"id": f"i-{n:03d}", "text": text(n), "group": f"g-{n // 2}"} for n in range(count))
    for n in range(count):
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(f"i-{n:03d}", "mood", annotator=person, answer=ANSWERS[n % 3])


def text(n: int) -> str:
    words = SAYS[ANSWERS[n % 3]].split()
    return f"item {n * n} is {words[n % 5]} and {words[(n + 1) % 5]}, number {n * 7919} of the lot {chr(97 + n % 26) * 5}"


def judge(project: Project, item: str, answer: str, people=("ann", "bob")) -> None:
    for person in people:
        project.add_annotator(person)
        project.judge(item, "mood", annotator=person, answer=answer)


@pytest.fixture
def small(tmp_path):
    """`project` of 90 rows and their `snapshot` v1, in which nothing is planted; `judge(item, answer)`."""
    project = Project.create(tmp_path / "p")
    fill(project)
    yield SimpleNamespace(
        project=project, snapshot=project.snapshot("mood", name="v1"), judge=lambda *given, **more: judge(project, *given, **more)
    )
    project.close()


@pytest.fixture(scope="session")
def finding_of():
    """A finding by hand: (check, action, {item: cluster or None})."""

    def make(check, action, rows):
        suspects = [
            SuspectRow(item, f"found by {check}", 1.0 - place / 100, document={"cluster": cluster} if cluster else {})
            for place, (item, cluster) in enumerate(rows.items())
        ]
        return CheckFinding(check, check.title(), f"{len(rows)} rows", len(rows), suspects, action)

    return make
