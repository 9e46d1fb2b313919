"""Build, check, compare and mend snapshots of a project."""
