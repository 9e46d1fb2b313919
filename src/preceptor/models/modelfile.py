"""Ollama's Modelfile for a model that was packed: Ollama doesn't run a GGUF file's own chat template, and has one in Go's words.

A template that lays turns one after another, with a system message of its own where there is none, is taken apart into what stands
around each of them, and put together again; one that does more has no such form, which is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from preceptor.errors import UserError
from preceptor.models.chat import ChatTokenizer
from preceptor.models.template import Turn, Unfit, chat_text

_SAID = ("first-said", "then-said", "last-said")


@dataclass(frozen=True)
class Around:
    """What stands before the first turn, and before and after each role's; after a user's turn the model's begins.

    usual: the system message of a conversation without one; none where it is empty.
    """

    first: str
    system: tuple[str, str]
    user: tuple[str, str]
    after_answer: str
    usual: str

    def text(self, turns: Sequence[Turn]) -> str:
        """A conversation laid out, as Ollama does it."""
        if self.usual and turns[0]["role"] != "system":
            turns = [{"role": "system", "content": self.usual}, *turns]
        around = {"system": self.system, "user": self.user, "assistant": ("", self.after_answer)}
        return self.first + "".join(around[turn["role"]][0] + turn["content"] + around[turn["role"]][1] for turn in turns)

    def template(self) -> str:
        """The same as Ollama's template."""
        roles = {"system": self.system, "user": self.user}
        parts = [f'if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}{{{{ else ' for role, (before, after) in roles.items()]
        return (
            f"{self.first}{{{{ range .Messages }}}}{{{{ {''.join(parts)}}}}}{{{{ .Content }}}}{self.after_answer}{{{{ end }}}}{{{{ end }}}}"
        )


def modelfile(chat: ChatTokenizer, file: str) -> str:
    """The text of a Modelfile for a GGUF file beside it; UserError where the chat template isn't turns one after another."""
    around = _around(chat)
    tokenizer = chat.tokenizer
    if tokenizer.bos_token and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:  # which the program puts there itself
        around = replace(around, first=around.first.removeprefix(tokenizer.bos_token))
    if any(mark in around.text(_turns("user", "assistant")) + around.text(_turns("system")) for mark in ("{{", '"""')):
        raise _refused()
    usual = [f'SYSTEM """{around.usual}"""'] if around.usual else []
    stops = [f'PARAMETER stop "{stop}"' for stop in sorted(tokenizer.convert_ids_to_tokens(list(chat.ends)))]
    return "\n".join([f"FROM ./{file}", f'TEMPLATE """{around.template()}"""', *usual, *stops]) + "\n"


def _around(chat: ChatTokenizer) -> Around:
    def text(*roles: str, answering: bool = True) -> str:
        try:
            return chat_text(chat.tokenizer, _turns(*roles), answering=answering)
        except Unfit:
            raise _refused() from None

    once, thrice, instructed = text("user"), text("user", "assistant", "user"), text("system", "user")
    begin, after = _cut(once, 1)
    opening, answered, again, end = _cut(thrice, 3)
    before_system, between, _ = _cut(instructed, 2)
    *_, after_answer = _cut(text("user", "assistant", answering=False), 2)
    before = again.removeprefix(after_answer)
    first, usual = begin.removesuffix(before), ""
    system = (before_system.removeprefix(first), between.removesuffix(before))
    if not before_system.startswith(first):  # then it is a system message
        first, usual = "", first.removeprefix(system[0]).removesuffix(system[1])
    found = Around(first, system, (before, after), after_answer, usual)
    same = opening == begin and answered == after == end
    long = ("system", "user", "assistant", "user")
    if not same or any(found.text(_turns(*roles)) != text(*roles) for roles in (long[1:2], long[:2], long[1:], long)):
        raise _refused()
    return found


def _turns(*roles: str) -> list[Turn]:
    return [{"role": role, "content": said} for role, said in zip(roles, (*_SAID, *_SAID), strict=False)]


def _cut(text: str, count: int) -> list[str]:
    """What stands around the texts that were said; UserError where one isn't there just once."""
    pieces = []
    for said in _SAID[:count]:
        if text.count(said) != 1:
            raise _refused()
        piece, _, text = text.partition(said)
        pieces.append(piece)
    return [*pieces, text]


def _refused() -> UserError:
    return UserError(
        "this model's chat template does more than lay turns one after another, which Ollama's templates can't be given word for word",
        "use llama.cpp, which runs the file's own template: llama-server --jinja -m FILE",
    )
