"""Run the whole pipeline: the demo, the quick start, one pipeline run, and the migration from other tools and hosted models."""
