"""What the texts point to is there: links, paths, and the rooms that the trees name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:src|tests|docs|benches)/[\w./*-]+)`")
ROOM = re.compile(r"^  (?:[├└│] ?)?(\w+)/ ", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_links_lead_somewhere(text: Path):
    targets = [target for target in LINK.findall(text.read_text(encoding="utf-8")) if "://" not in target]
    lost = [target for target in targets if not (text.parent / target.partition("#")[0]).exists()]
    assert not lost


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_links_to_a_heading_find_it(text: Path):
    for target in LINK.findall(text.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if anchor and "://" not in target:
            aim = (text.parent / path if path else text).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", aim, re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_paths_that_are_named_exist(text: Path):
    lost = [path for path in PATH.findall(text.read_text(encoding="utf-8")) if not list(ROOT.glob(path.rstrip("/")))]
    assert not lost


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_nothing_of_one_machine_is_in_a_text(text: Path):
    here = r"(?:/home/|/root/|(?<!GET )(?<!POST )/work/|/tmp/|[A-Z]:\\)\S*"  # /work is a page of ours, too
    found = re.findall(here, text.read_text(encoding="utf-8"))
    assert not found


@pytest.mark.parametrize("text", ["README.md", "ARCHITECTURE.md"])
def test_the_rooms_are_those_of_the_tree(text: str):
    """Each room that exists is named, and each that is named exists."""
    rooms = {path.parent.name for path in (ROOT / "src" / "preceptor").glob("*/__init__.py")}
    said = (ROOT / text).read_text(encoding="utf-8")
    missing = sorted(room for room in rooms if f"`{room}/`" not in said and not re.search(rf"^\s+{room}/ ", said, re.MULTILINE))
    invented = sorted(set(ROOM.findall(said)) - rooms)
    assert (missing, invented) == ([], [])
