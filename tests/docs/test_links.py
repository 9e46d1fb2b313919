"""What the texts point to is there: links, paths, and the rooms that the trees name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:src|tests|docs|benches)/[\w./*-]+)`")
HERE = re.compile(r"(?:/home/|/root/|(?<!GET )(?<!POST )/work/|/tmp/|[A-Z]:\\)\S*")  # /work is a page of ours, too
ROOM = re.compile(r"^  (?:[├└│] ?)?(\w+)/ ", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_what_a_text_points_to_is_there_and_nothing_is_of_one_machine(text: Path):
    said = text.read_text(encoding="utf-8")
    links = [target.partition("#") for target in LINK.findall(said) if "://" not in target]
    lost = [path for path, _, _ in links if not (text.parent / path).exists()]
    assert not lost
    for path, _, anchor in links:
        assert not anchor or anchor in anchors_of(text.parent / path if path else text), f"{path}#{anchor}"
    assert not [path for path in PATH.findall(said) if not list(ROOT.glob(path.rstrip("/")))]
    assert not HERE.findall(said)


def anchors_of(text: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("text", ["README.md", "ARCHITECTURE.md"])
def test_the_rooms_are_those_of_the_tree(text: str):
    """Each room that exists is named, and each that is named exists."""
    rooms = {path.parent.name for path in (ROOT / "src" / "preceptor").glob("*/__init__.py")}
    said = (ROOT / text).read_text(encoding="utf-8")
    missing = sorted(room for room in rooms if f"`{room}/`" not in said and not re.search(rf"^\s+{room}/ ", said, re.MULTILINE))
    invented = sorted(set(ROOM.findall(said)) - rooms)
    assert (missing, invented) == ([], [])
