"""Build, check, compare and correct snapshots of a project."""
