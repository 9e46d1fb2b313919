"""A report on paper: printed by Chromium where there is one, and a clear word where there is none."""

import os
import stat

import pytest

from preceptor.errors import UserError
from preceptor.reporting import report
from preceptor.reporting.report import Report


def test_a_report_is_printed(document, tmp_path):
    Report.from_document(document).save_pdf(tmp_path / "report.pdf")
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    assert list(tmp_path.iterdir()) == [tmp_path / "report.pdf"]


def test_without_chromium_it_says_what_to_do(document, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs Chromium") as caught:
        Report.from_document(document).save_pdf(tmp_path / "report.pdf")
    assert "print it" in caught.value.hint
    assert not (tmp_path / "report.pdf").exists()


def false_chromium(folder, script):
    program = folder / "chromium"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_chromium_that_fails_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", false_chromium(tmp_path, "echo 'no fonts here' >&2; exit 1"))
    with pytest.raises(UserError, match="couldn't print the page: no fonts here"):
        report.render_pdf("<p>hello</p>")


def test_a_chromium_that_hangs_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", false_chromium(tmp_path, "exec sleep 5"))
    monkeypatch.setattr(report, "_PRINT_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(UserError, match="didn't print the page within"):
        report.render_pdf("<p>hello</p>")
