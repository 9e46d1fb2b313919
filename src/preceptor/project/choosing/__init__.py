"""Which way to learn pays: techniques compared by short trainings, and learning curves."""
