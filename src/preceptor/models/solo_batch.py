"""Answers of models that remember a text otherwise than by keys and values of each token (state-space, recurrent, linear attention).

Their memory of a row can't be padded, joined to others' or cut into blocks. So each answer is read and drawn by itself, beginnings of
prompts aren't shared, and requests join and leave between any two steps all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from preceptor.models.batch import Batch, Fault
from preceptor.models.cached import reads_together
from preceptor.models.chat import ChatModel
from preceptor.models.drawing import Piece, Request, Row
from preceptor.models.prefixes import Prefixes

_MEMORIES = ("cache", "past_key_values", "cache_params", "state")  # what models call it, in what they return and in what they are given
_TRIAL = (5, 6, 7, 8, 9, 10)  # tokens


def batch_of(chat: ChatModel, requests: Iterable[Request] = (), prefixes: Prefixes | None = None) -> Batch | SoloBatch:
    """What draws a model's answers: together where it reads rows together as it reads each alone, else each by itself."""
    return Batch(chat, requests, prefixes) if reads_together(chat.model) else SoloBatch(chat, requests)


class RecurrentReader:
    """A model that reads on from what it returned; one that doesn't say the same then as at once reads all anew each time."""

    def __init__(self, model: Any) -> None:
        self.model, self.keeps = model, True
        self.keeps = self._keeps()

    def read(self, tokens: Sequence[int], read: int, memory: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Logits (vocabulary,) after all tokens, of which the first `read` are in memory, and the memory of them all."""
        if not self.keeps:
            return self._logits(tokens, use_cache=False)[0], {}
        logits, output = self._logits(tokens[read:], use_cache=True, **memory)
        name = next(name for name in _MEMORIES if name in output)  # under older names there may be the same again
        return logits, {name: output[name]}

    def _logits(self, tokens: Sequence[int], **given: Any) -> tuple[Any, Any]:
        output = self.model(input_ids=torch.tensor([list(tokens)], device=self.model.device), **given)
        return output.logits[0, -1], output

    def _keeps(self) -> bool:
        with torch.inference_mode():
            whole, _ = self._logits(_TRIAL, use_cache=False)
            try:
                _, memory = self.read(_TRIAL[:4], 0, {})
                _, memory = self.read(_TRIAL[:5], 4, memory)
                stepwise, _ = self.read(_TRIAL, 5, memory)
            except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError):
                return False
            return bool(torch.allclose(whole, stepwise, rtol=0, atol=1e-3 * float(whole.abs().max())))


@dataclass(eq=False)
class _Answer:
    """One answer, what the model remembers of its tokens, and of how many."""

    row: Row
    memory: dict[str, Any]
    read: int = 0

    @property
    def tokens(self) -> list[int]:
        return [*self.row.asked.prompt, *self.row.tokens]

    @property
    def length(self) -> int:
        return len(self.row.asked.prompt) + len(self.row.tokens)


class SoloBatch:
    """As `Batch` to those who ask; every answer is read and drawn alone."""

    def __init__(self, chat: ChatModel, requests: Iterable[Request] = ()) -> None:
        self._chat, self._reader, self._count = chat, RecurrentReader(chat.model), 0
        self._layers = int(getattr(chat.model.config.get_text_config(), "num_hidden_layers", 1))
        self._answers: list[_Answer] = []
        self._paused: dict[int, list[_Answer]] = {}
        self.reused: dict[int, int] = {}  # by request, as of `Batch`: nothing is found again
        for request in requests:
            self.join(request)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self._answers

    @property
    def tokens(self) -> int:
        """Tokens that the answers under way have read, or will have before they go on."""
        return sum(answer.length for answer in self._answers)

    @property
    def token_bytes(self) -> int:
        """Bytes that a token is counted as: of keys and values in every layer, which no recurrent memory of it exceeds by its length."""
        return max(
            1, 2 * int(self._chat.model.get_input_embeddings().weight.shape[1]) * self._layers * int(self._chat.model.dtype.itemsize)
        )

    def with_more(self, rows: int, length: int) -> int:
        """What `tokens` comes to once so many rows of this length have joined."""
        return self.tokens + rows * length

    def join(self, request: Request) -> int:
        """Begin to answer a request; its number, under which its pieces come."""
        number, self._count = self._count, self._count + 1
        self._answers += [_Answer(Row(self._chat, number, choice, request), {}) for choice in range(request.choices)]
        self.reused[number] = 0
        return number

    def cancel(self, number: int) -> None:
        """Leave off answering a request."""
        self._paused.pop(number, None)
        self.reused.pop(number, None)
        self._answers = [answer for answer in self._answers if answer.row.request != number]

    def cut(self, number: int) -> list[Piece]:
        """End a request's answers where they are; none where none has begun."""
        begun = [answer.row for answer in self._answers if answer.row.request == number and answer.row.tokens]
        self.cancel(number)
        return [row.cut() for row in begun]

    def pause(self, number: int) -> int:
        """Give up what is remembered for a request's answers, until they may go on; how many tokens they will need then, 0 where none is
        under way."""
        given_up = [_Answer(answer.row, {}) for answer in self._answers if answer.row.request == number]
        if given_up:
            self._paused[number] = given_up
            self._answers = [answer for answer in self._answers if answer.row.request != number]
        return sum(answer.length for answer in given_up)

    def resume(self, number: int) -> None:
        """Go on with a request that was paused: what was said is read again."""
        self._answers += self._paused.pop(number)

    def step(self) -> list[Piece | Fault]:
        """Draw the next token of each answer; what is new."""
        said: list[Piece | Fault] = []
        for answer in list(self._answers):
            if answer not in self._answers:  # another choice of its request has failed
                continue
            try:
                with torch.inference_mode():
                    logits, answer.memory = self._reader.read(answer.tokens, answer.read, answer.memory)
                    answer.read = answer.length
                piece = answer.row.draw(torch.log_softmax(logits.double(), dim=-1).cpu().numpy())
            except Exception as error:
                said.append(Fault(answer.row.request, error))
                self.cancel(answer.row.request)
                continue
            said.append(piece)
            if piece.finish:
                self._answers.remove(answer)
        return said
