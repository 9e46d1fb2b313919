"""A recipe run for a project: its base, its general texts, its loggers, and the same run again."""
