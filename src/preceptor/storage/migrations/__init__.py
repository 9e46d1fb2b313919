"""Bring the tables of an older version up to this one."""
