"""What the texts point to is there: links, paths, the packages that the trees name, and the names that stand in a file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:src|tests|docs|benches)/[\w./*-]+)`")
HERE = re.compile(r"(?:/home/|/root/|(?<!GET )(?<!POST )/work/|/tmp/|[A-Z]:\\)\S*")  # /work is a page of ours, too
PACKAGE = re.compile(r"^  (?:[├└│] ?)?(\w+)/ ", re.MULTILINE)

WHERE = re.findall(r"^\| .+`src/.+\|$", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("\n## Layers\n")[0], re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_what_a_text_points_to_is_there_and_nothing_is_of_one_machine(subtests):
    assert TEXTS
    for text in TEXTS:
        with subtests.test(text=text):
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
def test_the_packages_are_those_of_the_tree(text: str):
    """Each package that exists is named, and each that is named exists."""
    packages = {path.parent.name for path in (ROOT / "src" / "preceptor").glob("*/__init__.py")}
    said = (ROOT / text).read_text(encoding="utf-8")
    missing = sorted(name for name in packages if f"`{name}/`" not in said and not re.search(rf"^\s+{name}/ ", said, re.MULTILINE))
    invented = sorted({*PACKAGE.findall(said), *layers(said)} - packages)
    assert (missing, invented) == ([], [])


def layers(text: str) -> list[str]:
    """The packages of the first column of the table of layers."""
    _, _, section = text.partition("\n## Layers\n")
    return [
        name for row in re.findall(r"^\| (`.+?) \|", section.partition("\n## ")[0], re.MULTILINE) for name in re.findall(r"`(\w+)/`", row)
    ]


def test_the_layers_stand_in_the_order_that_import_linter_enforces():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    enforced = [re.findall(r"\w+", layer) for contract in contracts if contract["type"] == "layers" for layer in contract["layers"]]
    section = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("\n## Layers\n")[2].partition("\n## ")[0]
    assert [re.findall(r"`(\w+)(?:/|\.py)`", row) for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)] == enforced


def test_where_to_find_things_names_what_stands_in_each_file(subtests):
    assert WHERE
    for row in WHERE:
        with subtests.test(row=row):
            assert misplaced(row) == []


def misplaced(row: str) -> list[str]:
    """Names of a row that its files don't define: `name` and `name` in `src/file.py`; the row itself where it names nothing so."""
    pairs = re.findall(r"((?:`\w+`(?:, | and )?)+)[^`]*`(src/[\w/]+\.py)`", row)
    named = [(name, (ROOT / path).read_text(encoding="utf-8")) for names, path in pairs for name in re.findall(r"`(\w+)`", names)]
    return (
        [name for name, code in named if not re.search(rf"^\s*(?:class |(?:async )?def )?{name}\b", code, re.MULTILINE)] if pairs else [row]
    )


def test_a_name_that_stands_elsewhere_is_found():
    place = "`src/preceptor/planning/stop_rule.py`"
    assert misplaced(f"| the rule | `StopRule`, `DPOObjective` and `is_audited` in {place} |") == ["DPOObjective"]
    assert misplaced(f"| the rule | {place} |") == [f"| the rule | {place} |"]
