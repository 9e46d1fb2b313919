"""A stand-in of vLLM's server: it tells a prompt's log-probabilities and tokens by their numbers, and refuses what vLLM 0.32 refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.testing.hosted import HostedService, Turns, refusal


@dataclass
class Vllm(HostedService):
    """tokens: of an answer, with the text that each adds; the last one ends it, and its text isn't told. reads: how many tokens it reads.

    prompt: a conversation's tokens with their log-probabilities, None for a server that tells none.
    """

    tokens: Callable[[str], Sequence[tuple[int, str]]] = lambda text: ()
    reads: int = 1024
    prompt: Callable[[Turns], Sequence[tuple[int, float]]] | None = None

    def handle(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if (method, path) == ("GET", "/v1/models"):
            rows = [{"id": name, "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": self.reads} for name in self.models]
            return 200, {"object": "list", "data": rows}
        return super().handle(method, path, query, body)

    def completed(self, body: Mapping[str, Any], made: dict[str, Any], text: str) -> tuple[int, Any]:
        if why := self._refused(body):
            return 400, refusal(why, None)
        if body.get("stream"):
            return 200, self._streamed(made, text, body)
        if body.get("prompt_logprobs") is not None and self.prompt is not None:
            made["prompt_logprobs"] = [None, *({str(token): {"logprob": nats}} for token, nats in self.prompt(body["messages"])[1:])]
        return 200, made

    def _refused(self, body: Mapping[str, Any]) -> str:
        if body.get("temperature") == 0 and body.get("n", 1) > 1:
            return f"n must be 1 when using greedy sampling, got {body['n']}."
        if body.get("top_p") == 0:
            return "top_p must be in (0, 1], got 0.0."
        if (most := body.get("max_completion_tokens", 1)) > self.reads:
            return f"max_completion_tokens={most} cannot be greater than max_model_len={self.reads}."
        return ""

    def _streamed(self, made: Mapping[str, Any], text: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Token by token, each choice in turn: the one that ends an answer is told too, and those that a stop sequence is made of."""
        about = {**{name: made[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
        tokens = self.tokens(text)
        for number in range(body.get("n", 1)):
            said = ""
            for at, (token, more) in enumerate(tokens, 1):
                said += more
                stopped = at == len(tokens) or any(stop in said for stop in body.get("stop", ()))
                finish = "stop" if stopped else "length" if at == body["max_completion_tokens"] else None
                told = {"token": f"token_id:{token}", "logprob": -0.25, "bytes": [], "top_logprobs": []}
                choice = {"index": number, "delta": {"content": "" if stopped else more}, "logprobs": {"content": [told]}}
                yield {**about, "choices": [{**choice, "finish_reason": finish}]}
                if finish:
                    break
        yield {**about, "choices": [], "usage": {**made["usage"], "prompt_tokens_details": {"cached_tokens": 16}}}
