"""Names in social networks that somebody says are their own; of a bare @name nobody can tell whether it is a person's or a firm's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.curation.personal.finding import Span

_NETWORK = (
    r"(?:twitter|insta(?:gram)?|tik ?tok|telegram|snap(?:chat)?|discord|facebook|linkedin|you ?tube|threads|mastodon|bluesky|twitch|"
    r"reddit|git ?hub|skype|x)"
)
_CALLED = r"(?: (?:handle|user ?name|user|name|nick(?:name)?|account|profile|page|id))?"
_MINE = r"(?:my|mein(?:e[nmr]?)?|mon|mi|il mio|mijn|meu)"
_IS = r"(?: ?[:=] ?| (?:is|ist|est|es|è|é) )"
_NAME = r"(@\w[\w.]{1,29}(?<!\.))(?![\w@])"
_OWN = rf"{_MINE} (?:{_NETWORK}{_CALLED}|handle|user ?name)(?:{_IS}| )"
_FIELD = rf"{_NETWORK} (?:handle|user ?name){_IS}"
_TO_ME = (
    r"(?:follow|dm|pm|message|add|text|find|reach|tag|contact) me"
    rf"(?: (?:on|at|via|over|by))?(?: {_NETWORK})?(?: (?:at|as|under))?(?:[:,] ?| )"
)
_HANDLE = re.compile(rf"\b(?:{_OWN}|{_FIELD}|{_TO_ME}){_NAME}", re.I)


def handles(text: str) -> Iterator[Span]:
    """Names beginning with @ that words before them say are the writer's, or a user's name."""
    return (found.span(1) for found in _HANDLE.finditer(text))
