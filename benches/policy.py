"""Planted violations of four policies that rules catch, and clean answers that they flag."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from preceptor.statistics import estimate_proportion

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"


def main() -> None:
    cases = _cases()
    planted = cases.cases("planted.jsonl")
    caught = sum(row["rule"] in cases.broken(row) for row in planted)
    sets = {
        "200 clean answers, 109 of them written to mislead": [*cases.cases("clean.jsonl"), *cases.real(_rows, most=31)][:200],
        "real answers": cases.real(_rows, most=5000),
    }
    flagged = {name: (len(rows), sum(bool(cases.broken(row)) for row in rows)) for name, rows in sets.items()}
    counted = {"planted violations": (len(planted), caught), **flagged}
    rows = [
        {"answers": name, "count": count, "flagged": number, "share": _share(number, count)} for name, (count, number) in counted.items()
    ]
    print(json.dumps({"rows": rows}))


def _share(number: int, count: int) -> dict[str, Any]:
    return estimate_proportion(number, count).to_dict()


def _rows(name: str) -> list[dict[str, Any]]:
    with (SHARED / name / "items.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _cases() -> Any:
    """The tests' own module, so that what is measured here is what is tested there."""
    path = ROOT / "tests" / "evaluation" / "suites" / "policy" / "test_cases.py"
    spec = importlib.util.spec_from_file_location("policy_cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
