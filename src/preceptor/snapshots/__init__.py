"""Snapshots: immutable, content-addressed sets of rows, split without leaks, each row tied to its judgments."""

from preceptor.snapshots.build import answers_of, build_rows
from preceptor.snapshots.checks import check_rows
from preceptor.snapshots.differing import diff
from preceptor.snapshots.manifest import Snapshot, write_snapshot
from preceptor.snapshots.rows import SPLITS, Row

__all__ = ["SPLITS", "Row", "Snapshot", "answers_of", "build_rows", "check_rows", "diff", "write_snapshot"]
