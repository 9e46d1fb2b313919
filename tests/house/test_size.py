"""Modules of 600 lines at most, functions under 60."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "preceptor"
MODULES = sorted(ROOT.rglob("*.py"))
LINES, FUNCTION_LINES = 600, 60


def test_modules_and_their_functions_are_short_and_say_what_they_are():
    faults = [f"{path.relative_to(ROOT)}: {fault}" for path in MODULES for fault in faults_of(path.read_text(encoding="utf-8"))]
    assert MODULES
    assert faults == []


def faults_of(text: str) -> list[str]:
    """What is wrong with the size of a module, and whether it has no docstring."""
    tree, found = ast.parse(text), []
    if text.count("\n") > LINES:
        found.append(f"{text.count(chr(10))} lines")
    if not ast.get_docstring(tree):
        found.append("no docstring")
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return found + [f"{each.name} is too long" for each in functions if each.end_lineno - each.lineno >= FUNCTION_LINES]


def test_each_fault_is_found():
    long = "def f():\n" + "    pass\n" * FUNCTION_LINES
    assert faults_of('"""Say."""\n' + long + "#\n" * LINES) == [f"{LINES + FUNCTION_LINES + 2} lines", "f is too long"]
    assert faults_of("x = 1\n") == ["no docstring"]


def test_no_module_is_a_drawer_for_everything():
    assert not {path.stem for path in MODULES} & {"helpers", "utils", "util", "common", "base", "misc"}
