"""Migrate the tables of an older version to this one."""
