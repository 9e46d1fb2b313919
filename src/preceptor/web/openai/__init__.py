"""Serve OpenAI's interface over a project: files, fine-tuning jobs, models, chat; for the official client, unmodified.

Programs use this application, people the pages of `web/`; neither imports the other, and one server answers for both.
"""

from __future__ import annotations

from preceptor.web.openai.app import create_openai_app

__all__ = ["create_openai_app"]
