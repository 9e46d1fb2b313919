"""Models that choose between answers: /v1/classify, and their answers in a chat."""

from __future__ import annotations

from fastapi import Response

from preceptor.project.catalog import Offered
from preceptor.serving.asking import ChatRequest
from preceptor.serving.faults import Refused
from preceptor.serving.state import State


async def complete(state: State, model: Offered, asked: ChatRequest) -> Response:
    """Answer a conversation by the name of the answer that the model holds most probable."""
    raise Refused(f"{model.name} chooses between answers", "ask /v1/classify", param="model", code="unsupported_value")
