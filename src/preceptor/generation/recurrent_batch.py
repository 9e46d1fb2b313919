"""Generate answers of models whose state can't be batched (state-space, recurrent, linear attention).

Their memory of a row can't be padded, joined to others' or cut into blocks. So each answer is read and drawn by itself, beginnings of
prompts aren't shared, and requests join and leave between any two steps all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from preceptor.generation.continuous_batch import ContinuousBatch, RequestFailure
from preceptor.generation.kv_cache import PrefixCache, supports_padded_cache
from preceptor.generation.sampling import ActiveSequence, GenerationChunk, GenerationRequest
from preceptor.models.causal_lm import ChatModel

_STATE_FIELDS = ("cache", "past_key_values", "cache_params", "state")  # what models call it, in what they return and in what they are given
_TRIAL_TOKENS = (5, 6, 7, 8, 9, 10)  # tokens


def create_batch(
    chat: ChatModel, requests: Iterable[GenerationRequest] = (), prefixes: PrefixCache | None = None
) -> ContinuousBatch | SequentialBatch:
    """What draws a model's answers: together where it reads rows together as it reads each alone, else each by itself."""
    return ContinuousBatch(chat, requests, prefixes) if supports_padded_cache(chat.model) else SequentialBatch(chat, requests)


class RecurrentModel:
    """A model that reads on from what it returned; one that doesn't say the same then as at once reads all anew each time."""

    def __init__(self, model: Any) -> None:
        self.model, self.is_stateful = model, True
        self.is_stateful = self._stepwise_matches()

    def next_logits(self, tokens: Sequence[int], read: int, memory: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Logits (vocabulary,) after all tokens, of which the first `read` are in memory, and the memory of them all."""
        if not self.is_stateful:
            return self._logits(tokens, use_cache=False)[0], {}
        logits, output = self._logits(tokens[read:], use_cache=True, **memory)
        name = next(name for name in _STATE_FIELDS if name in output)  # under older names there may be the same again
        return logits, {name: output[name]}

    def _logits(self, tokens: Sequence[int], **given: Any) -> tuple[Any, Any]:
        output = self.model(input_ids=torch.tensor([list(tokens)], device=self.model.device), **given)
        return output.logits[0, -1], output

    def _stepwise_matches(self) -> bool:
        with torch.inference_mode():
            whole, _ = self._logits(_TRIAL_TOKENS, use_cache=False)
            try:
                _, memory = self.next_logits(_TRIAL_TOKENS[:4], 0, {})
                _, memory = self.next_logits(_TRIAL_TOKENS[:5], 4, memory)
                stepwise, _ = self.next_logits(_TRIAL_TOKENS, 5, memory)
            except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError):
                return False
            return bool(torch.allclose(whole, stepwise, rtol=0, atol=1e-3 * float(whole.abs().max())))


@dataclass(eq=False)
class _RecurrentSequence:
    """One answer, what the model remembers of its tokens, and of how many."""

    row: ActiveSequence
    state: dict[str, Any]
    read_count: int = 0

    @property
    def tokens(self) -> list[int]:
        return [*self.row.params.prompt, *self.row.tokens]

    @property
    def length(self) -> int:
        return len(self.row.params.prompt) + len(self.row.tokens)


class SequentialBatch:
    """As `ContinuousBatch` to those who ask; every answer is read and drawn alone."""

    def __init__(self, chat: ChatModel, requests: Iterable[GenerationRequest] = ()) -> None:
        self._chat, self._reader, self._count = chat, RecurrentModel(chat.model), 0
        self._layers = int(getattr(chat.model.config.get_text_config(), "num_hidden_layers", 1))
        self._answers: list[_RecurrentSequence] = []
        self._paused: dict[int, list[_RecurrentSequence]] = {}
        self.cached_tokens: dict[int, int] = {}  # by request, as of `ContinuousBatch`: nothing is found again
        for request in requests:
            self.add_request(request)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self._answers

    @property
    def tokens(self) -> int:
        """Tokens that the answers under way have read, or will have before they go on."""
        return sum(answer.length for answer in self._answers)

    @property
    def bytes_per_token(self) -> int:
        """Bytes that a token is counted as: of keys and values in every layer, which no recurrent memory of it exceeds by its length."""
        return max(
            1, 2 * int(self._chat.model.get_input_embeddings().weight.shape[1]) * self._layers * int(self._chat.model.dtype.itemsize)
        )

    def tokens_with(self, rows: int, length: int) -> int:
        """What `tokens` comes to once so many rows of this length have joined."""
        return self.tokens + rows * length

    def add_request(self, request: GenerationRequest) -> int:
        """Begin to answer a request; its number, under which its pieces come."""
        number, self._count = self._count, self._count + 1
        self._answers += [_RecurrentSequence(ActiveSequence(self._chat, number, choice, request), {}) for choice in range(request.choices)]
        self.cached_tokens[number] = 0
        return number

    def cancel(self, number: int) -> None:
        """Leave off answering a request."""
        self._paused.pop(number, None)
        self.cached_tokens.pop(number, None)
        self._answers = [answer for answer in self._answers if answer.row.request != number]

    def end_early(self, number: int) -> list[GenerationChunk]:
        """End a request's answers where they are; none where none has begun."""
        begun = [answer.row for answer in self._answers if answer.row.request == number and answer.row.tokens]
        self.cancel(number)
        return [row.end_early() for row in begun]

    def pause(self, number: int) -> int:
        """Give up what is remembered for a request's answers, until they may go on; how many tokens they will need then, 0 where none is
        under way."""
        given_up = [_RecurrentSequence(answer.row, {}) for answer in self._answers if answer.row.request == number]
        if given_up:
            self._paused[number] = given_up
            self._answers = [answer for answer in self._answers if answer.row.request != number]
        return sum(answer.length for answer in given_up)

    def resume(self, number: int) -> None:
        """Go on with a request that was paused: what was said is read again."""
        self._answers += self._paused.pop(number)

    def step(self) -> list[GenerationChunk | RequestFailure]:
        """Draw the next token of each answer; what is new."""
        said: list[GenerationChunk | RequestFailure] = []
        for answer in list(self._answers):
            if answer not in self._answers:  # another choice of its request has failed
                continue
            try:
                with torch.inference_mode():
                    logits, answer.state = self._reader.next_logits(answer.tokens, answer.read_count, answer.state)
                    answer.read_count = answer.length
                piece = answer.row.sample_token(torch.log_softmax(logits.double(), dim=-1).cpu().numpy())
            except Exception as error:
                said.append(RequestFailure(answer.row.request, error))
                self.cancel(answer.row.request)
                continue
            said.append(piece)
            if piece.finish:
                self._answers.remove(answer)
        return said
