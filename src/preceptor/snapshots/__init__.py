"""Build, check, compare and correct snapshots of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from preceptor.snapshots.check_page import build_difference_tables, summarize_differences, summary_lines
    from preceptor.snapshots.check_worker import CHECKS, CheckJobState, run_check_job
    from preceptor.snapshots.curation import CurationCase, rewritable_text
    from preceptor.snapshots.snapshot_checks import CheckFinding, SnapshotCheckResult

__all__ = [
    "CHECKS",
    "CheckFinding",
    "CheckJobState",
    "CurationCase",
    "SnapshotCheckResult",
    "build_difference_tables",
    "rewritable_text",
    "run_check_job",
    "summarize_differences",
    "summary_lines",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "check_page": "build_difference_tables summarize_differences summary_lines",
        "check_worker": "CHECKS CheckJobState run_check_job",
        "curation": "CurationCase rewritable_text",
        "snapshot_checks": "CheckFinding SnapshotCheckResult",
    },
)
