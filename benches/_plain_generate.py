"""The plainest server of a chat model: `model.generate` behind the route that OpenAI's client calls, one request after another.

Run: python -m benches._plain_generate FOLDER PORT
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer


def application(folder: str) -> FastAPI:
    """Greedy answers as streams."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    turn, app = threading.Lock(), FastAPI()

    def events(body: dict[str, Any]) -> Iterator[str]:
        with turn:
            inputs = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True)
            streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
            given = {**inputs, "streamer": streamer, "do_sample": False, "max_new_tokens": body["max_tokens"]}
            drawing = threading.Thread(target=model.generate, kwargs=given)
            drawing.start()
            for text in streamer:
                choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
                document = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "plain", "choices": [choice]}
                yield f"data: {json.dumps(document)}\n\n"
            drawing.join()
        yield "data: [DONE]\n\n"

    @app.get("/health/ready")
    def ready() -> str:
        return "ready"

    @app.post("/v1/chat/completions")
    def complete(body: dict[str, Any]) -> StreamingResponse:
        return StreamingResponse(events(body), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), port=int(sys.argv[2]), log_level="error")
