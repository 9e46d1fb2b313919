"""OpenAI's interface over a project: files, fine-tuning jobs, models, chat; for the official client, unmodified.

Programs come here, people to `web/`; the two don't know each other, and one server answers for both.
"""

from __future__ import annotations

from preceptor.web.openai.app import create_openai_app

__all__ = ["create_openai_app"]
