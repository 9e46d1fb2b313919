"""A model behind OpenAI's interface, anybody's: answers that are kept, and paid for once, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from preceptor.domain import digest_of
from preceptor.providers.answered import Answered
from preceptor.providers.prices import Budget, Price, tokens_of
from preceptor.providers.provider import Message
from preceptor.providers.service import Answer, Service

AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """What asking would take: requests that aren't answered yet, tokens at most, dollars at most."""

    requests: int
    read: int
    written: int
    dollars: float


class HostedProvider:
    """Writes as the hosted model `name` does; see `Writer`. UserError, with nothing sent, where the budget doesn't suffice.

    answered: where answers are kept. The same question is asked once, and what a killed process asked for is looked for first;
    `again` counts those that were asked for another time of a service that keeps none, so that they may be paid twice.
    """

    def __init__(self, name: str, service: Service, answered: Answered, *, price: Price, most: float = 0.0) -> None:
        self.name, self._service, self._answered, self._price = name, service, answered, price
        self.budget = Budget(most, sum(price.of(each.read, each.written) for model, each in answered.items() if model == name))
        self.again = 0

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
        how = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed, "stop": list(stop)}
        return [answer.text for answer in self.answers(conversations, how)]

    def answers(
        self, conversations: Sequence[Sequence[Message]], how: Mapping[str, Any], *, progress: Callable[[int, int], None] | None = None
    ) -> list[Answer]:
        """An answer to each, a few at once, in order. how: `max_tokens`, and what else `Service.ask` takes."""
        keyed = {self._key(turns, how): turns for turns in conversations}
        open_ = {key: turns for key, turns in keyed.items() if self._answered.get(key) is None}
        self.budget.check(self.cost(conversations, how).dollars, f"{len(open_):,} answers of {self.name}")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting = [pool.submit(self._one, key, turns, how) for key, turns in open_.items()]
            try:
                for number, each in enumerate(waiting, start=1):
                    each.result()
                    if progress is not None:
                        progress(number, len(waiting))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # those under way are kept; no more are paid for
                raise
        return [self._answered[self._key(turns, how)] for turns in conversations]

    def cost(self, conversations: Sequence[Sequence[Message]], how: Mapping[str, Any]) -> Cost:
        """What it would take to have an answer to each: an upper bound, since each may be as long as is allowed."""
        keyed = {self._key(turns, how): turns for turns in conversations}
        wanted = [turns for key, turns in keyed.items() if self._answered.get(key) is None]
        read, written = sum(map(tokens_of, wanted)), how["max_tokens"] * len(wanted)
        return Cost(len(wanted), read, written, self._price.of(read, written))

    def _one(self, key: str, turns: Sequence[Message], how: Mapping[str, Any]) -> None:
        found = None
        if key in self._answered.pending:
            found = self._service.recall(key)
            self.again += found is None and not self._service.keeps
        else:
            self._answered.begin(key, self.name)
        answer = found or self._service.ask(self.name, turns, key=key, **how)
        self._answered.keep(key, self.name, answer)
        self.budget.spent += self._price.of(answer.read, answer.written)

    def _key(self, turns: Sequence[Message], how: Mapping[str, Any]) -> str:
        return digest_of([self.name, [dict(turn) for turn in turns], dict(how)])[:32]
