"""Trainings that programs ask for through the fine-tuning API, and the files that they upload."""
