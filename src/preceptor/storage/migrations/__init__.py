"""Migrate the tables of an older database, one numbered step at a time."""
