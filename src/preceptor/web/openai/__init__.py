"""Serve OpenAI's interface over a project under /v1: files, fine-tuning jobs, models, chat; for the official client, unmodified."""
