"""Run fine-tuning jobs and other background work."""
