"""Learning to learn: many small tasks, an initialisation that adapts to a new one from a handful of examples."""
