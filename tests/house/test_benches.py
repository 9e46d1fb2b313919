"""The benches' page: every bench can be run by its name, and whatever shape it prints becomes a table."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("benches_main", ROOT / "benches" / "__main__.py")
benches = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benches)


def test_a_bench_says_what_it_measures_and_prints_when_run(subtests):
    assert benches.NAMES
    for name in benches.NAMES:
        with subtests.test(name=name):
            text = (ROOT / "benches" / f"{name}.py").read_text(encoding="utf-8")
            assert benches.purpose(name).endswith(".")
            assert '__name__ == "__main__"' in text
            compile(text, name, "exec")


def test_documents_become_tables():
    found = {
        "machine": "ours",
        "rows": [
            {"method": "a", "n": 1000000, "seconds": 1.23456, "mean": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}},
            {"method": "b", "left_out": "too slow", "each": {str(n): n for n in range(9)}},
        ],
        "in_the_cold": [{"world": "w", "x": 12345.6}],
        "peak_mb": 120,
    }
    rendered = {title: benches.table(rows) for title, rows in benches.tables(found)}
    assert rendered["in the cold"] == ["| world | x |", "| --- | --- |", "| w | 12,346 |"]
    assert list(benches.tables([{"a": 1}])) == [("", [{"a": "1"}])]
    (_, rows), *_ = benches.tables(found)
    assert benches.table(rows) == [
        "| method | n | seconds | mean, accuracy | left out |",
        "| --- | --- | --- | --- | --- |",
        "| a | 1,000,000 | 1.235 | 0.500 [0.400, 0.600] |  |",
        "| b |  |  |  | too slow |",
    ]


def test_the_page_comes_from_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(benches, "RESULTS", tmp_path)
    kept = {"machine": "ours", "date": "2026-01-01", "seconds": 3, "found": [{"rows": "items", "count": 10}]}
    (tmp_path / "import_rows.json").write_text(json.dumps(kept))
    section = benches.section("import_rows")
    assert section.startswith("## import_rows\n\nRows per second and peak memory of importing")
    assert "ours; 2026-01-01; 3 s." in section
    assert "| items | 10 |" in section
