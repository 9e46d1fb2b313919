"""Migrate a project from another annotation tool, or a hosted model to a local successor.

Everything is stored in the project's `migration/` as soon as it arrives, so that the same command continues where it was interrupted.
"""

from __future__ import annotations

from preceptor.pipeline.migration.hosted_migration import HostedMigrationOptions, HostedMigrationResult, migrate_hosted_model
from preceptor.pipeline.migration.hosted_sources import HostedSource, list_hosted_sources, local_source
from preceptor.pipeline.migration.migration_plan import plan_migration

__all__ = [
    "HostedMigrationOptions",
    "HostedMigrationResult",
    "HostedSource",
    "list_hosted_sources",
    "local_source",
    "migrate_hosted_model",
    "plan_migration",
]
