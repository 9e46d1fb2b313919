"""Generate with a hosted model within a budget, each paid answer kept on disk.

Each request is recorded before it is sent and its answer as soon as it arrives, so that a killed process loses no paid answer. The budget
limits what a price table and an upper bound on the tokens allow to be sent.
"""

from __future__ import annotations

import math
import os
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.durable_files import dump_sealed_json, explain_full_disk, load_sealed_json, sync_folder
from preceptor.formats.toml import parse_toml
from preceptor.generation.interface import Message
from preceptor.generation.openai_client import HostedAnswer, OpenAIClient
from preceptor.planning.prices import PRICES_HINT, TokenPrice, parse_prices
from preceptor.types import json_digest


class AnswerStore:
    """A file of paid answers by key.

    pending: keys that were requested and not answered, by a process that was killed or just now. models: the model of each key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, HostedAnswer] = {}
        self.pending: dict[str, None] = {}
        self.models: dict[str, str] = {}
        self._lock = threading.Lock()
        with explain_full_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            sync_folder(path.parent)
        self._read()

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, key: str) -> HostedAnswer:
        return self._found[key]

    def get(self, key: str) -> HostedAnswer | None:
        """Return the answer under a key, or None."""
        return self._found.get(key)

    def items(self) -> list[tuple[str, HostedAnswer]]:
        """Return each answer as (model, answer)."""
        return [(self.models[key], answer) for key, answer in self._found.items()]

    def mark_requested(self, key: str, model: str) -> None:
        """Record that an answer is about to be requested."""
        self._write({"key": key, "model": model})

    def put(self, key: str, model: str, answer: HostedAnswer) -> None:
        """Store an answer: it is on the disk when this returns."""
        self._write({"key": key, "model": model, "answer": asdict(answer)})

    def _write(self, line: Mapping[str, Any]) -> None:
        data = dump_sealed_json(line) + b"\n"
        with self._lock, explain_full_disk(self.path):
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._index_line(line)

    def _read(self) -> None:
        """Read the file; remove a last line that a kill cut off."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.path, whole)
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            try:
                self._index_line(load_sealed_json(line))
            except (ValueError, TypeError, KeyError):
                raise UserError(
                    "the line isn't ours", "restore the file: it holds what was paid for", where=f"{self.path}:{number}"
                ) from None

    def _index_line(self, line: Mapping[str, Any]) -> None:
        key = line["key"]
        self.models[key] = line["model"]
        if "answer" in line:
            self._found[key] = HostedAnswer(**line["answer"])
            self.pending.pop(key, None)
        else:
            self.pending[key] = None


BYTES_PER_TOKEN = 2.5  # of UTF-8; English has about 4, so the estimate lies above what is billed
TOKENS_PER_MESSAGE = 6  # what a chat template adds to each message


def read_prices(path: str | Path) -> dict[str, TokenPrice]:
    """Read a price table from a TOML file: one table for each model, as `parse_prices` takes it.

    Raises UserError where the file can't be read.
    """
    try:
        tables = parse_toml(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"the prices can't be read: {error}", PRICES_HINT, where=str(path)) from None
    return parse_prices(tables, where=str(path))


def estimate_message_tokens(messages: Sequence[Message]) -> int:
    """Estimate the tokens of a conversation from above, without a tokenizer."""
    return sum(TOKENS_PER_MESSAGE + estimate_text_tokens(str(turn["content"])) for turn in messages)


def estimate_text_tokens(text: str) -> int:
    """Estimate the tokens of a text from above."""
    return int(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN) + 1


class SpendingBudget:
    """A limit in dollars and what was spent; no request is sent that could exceed it."""

    def __init__(self, most: float, spent: float = 0.0) -> None:
        self.limit, self.spent = most, spent

    def check(self, cost: float, what: str) -> None:
        """Raise UserError if spending `cost` dollars more would exceed the limit. what: what they are for, as the message names it."""
        if cost and self.spent + cost > self.limit:
            before = f", after {self.spent:.4f} USD before" if self.spent else ""
            hint = f"allow it: --max-cost {_round_up_dollars(self.spent + cost):g}"
            raise UserError(f"{what} may cost {cost:.4f} USD{before}, and {self.limit:g} are allowed; nothing was sent", hint)


def _round_up_dollars(dollars: float) -> float:
    """Round up to the next amount that people write."""
    step = 0.0001 if dollars < 0.01 else 0.01
    return round(step * math.ceil(dollars / step), 4)


CONCURRENT_REQUESTS = 4


@dataclass(frozen=True, slots=True)
class RequestCost:
    """What a set of requests would take at most.

    requests: those not answered yet. read, written: tokens of prompts and of answers. dollars: their price.
    """

    requests: int
    read: int
    written: int
    dollars: float


class HostedProvider:
    """A `TextGenerator` for the hosted model `name`, whose answers are stored.

    Raises UserError, with nothing sent, where the budget doesn't suffice.

    answered: the store of answers. Equal requests are sent once, and answers that a killed process requested are looked up first.
    repeated_requests: how many were sent again because the service stores no answers, so that they may have been paid twice.
    """

    def __init__(self, name: str, service: OpenAIClient, answered: AnswerStore, *, price: TokenPrice, most: float = 0.0) -> None:
        self.name, self._service, self._answered, self._price = name, service, answered, price
        self.budget = SpendingBudget(most, sum(price.cost(each.read, each.written) for model, each in answered.items() if model == name))
        self.repeated_requests = 0

    def write(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """Generate an answer to each conversation (see `TextGenerator.write`)."""
        options = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed, "stop": list(stop)}
        return [answer.text for answer in self.generate_answers(conversations, options)]

    def generate_answers(
        self, conversations: Sequence[Sequence[Message]], options: Mapping[str, Any], *, progress: Callable[[int, int], None] | None = None
    ) -> list[HostedAnswer]:
        """Generate an answer to each conversation, a few at once, in their order.

        options: `max_tokens`, and what else `OpenAIClient.complete_chat` takes. progress: called with the answers that are there and those
        requested.
        """
        keyed = {self._key(turns, options): turns for turns in conversations}
        open_ = {key: turns for key, turns in keyed.items() if self._answered.get(key) is None}
        self.budget.check(self.estimate_cost(conversations, options).dollars, f"{len(open_):,} answers of {self.name}")
        with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
            waiting = [pool.submit(self._answer_one, key, turns, options) for key, turns in open_.items()]
            try:
                for number, each in enumerate(waiting, start=1):
                    each.result()
                    if progress is not None:
                        progress(number, len(waiting))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # requests under way finish and are stored; no more are sent
                raise
        return [self._answered[self._key(turns, options)] for turns in conversations]

    def estimate_cost(self, conversations: Sequence[Sequence[Message]], options: Mapping[str, Any]) -> RequestCost:
        """Estimate the cost of an answer to each conversation from above: each counted at its longest allowed length."""
        keyed = {self._key(turns, options): turns for turns in conversations}
        wanted = [turns for key, turns in keyed.items() if self._answered.get(key) is None]
        read, written = sum(map(estimate_message_tokens, wanted)), options["max_tokens"] * len(wanted)
        return RequestCost(len(wanted), read, written, self._price.cost(read, written))

    def _answer_one(self, key: str, turns: Sequence[Message], options: Mapping[str, Any]) -> None:
        found = None
        if key in self._answered.pending:
            found = self._service.find_stored_answer(key)
            self.repeated_requests += found is None and not self._service.stores_answers
        else:
            self._answered.mark_requested(key, self.name)
        answer = found or self._service.complete_chat(self.name, turns, key=key, **options)
        self._answered.put(key, self.name, answer)
        self.budget.spent += self._price.cost(answer.read, answer.written)

    def _key(self, turns: Sequence[Message], options: Mapping[str, Any]) -> str:
        return json_digest([self.name, [dict(turn) for turn in turns], dict(options)])[:32]
