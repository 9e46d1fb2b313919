"""Keys and passwords: what opens an account for whoever reads it. Services give theirs a prefix so that they can be found."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from preceptor.curation.personal.finding import Span

_FORMS = (
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z2-7]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{40,120}",
    r"glpat-[\w-]{20,60}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{10,250}",
    r"https://hooks\.slack\.com/services/T\w{6,14}/B\w{6,14}/\w{20,30}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9+/=]{20,80}",
    r"sk-(?:ant-|proj-|svcacct-|or-v1-)?[A-Za-z0-9_-]{20,250}",
    r"AIza[\w-]{35}|ya29\.[\w-]{20,250}|GOCSPX-[\w-]{20,40}",
    r"hf_[A-Za-z0-9]{30,40}",
    r"npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,250}",
    r"SG\.[\w-]{16,32}\.[\w-]{32,64}",
    r"(?:AC|SK)[0-9a-f]{32}",  # Twilio
    r"key-[0-9a-f]{32}",  # Mailgun
    r"\d{8,10}:AA[\w-]{33}",  # Telegram
    r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,40}",  # Discord
    r"dop_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|shp(?:at|ss|ca|pa)_[0-9a-fA-F]{32}|EAA[A-Za-z0-9]{80,250}|sq0(?:atp|csp)-[\w-]{22,43}",
    r"eyJ[\w-]{10,1000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}",  # JSON Web Token
    r"(?<=AccountKey=)[A-Za-z0-9+/]{60,100}={0,2}",
)
_KNOWN = re.compile(rf"(?<![\w/+-])(?:{'|'.join(_FORMS)})(?![\w-])")
_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)", re.S)
_SAID = re.compile(
    r"(?<![A-Za-z])(?:pass(?:word|wd|phrase|code)?|pwd|passwort|kennwort|mot de passe|contraseña|senha|wachtwoord|"
    r"pin(?: ?(?:code|number))?|"
    r"secret(?:[_ -]?(?:access)?[_ -]?key)?|api[_ -]?(?:key|token|secret)|(?:access|auth|bearer)[_ -]?(?:token|key)|client[_ -]?secret|"
    r"token)['\"]?(?:\s*(?:=|:(?!//))\s*|\s+(?:is|was|ist|lautet|est|es|é)\s*:?\s+)['\"`]?([^\s'\"`<>{}\[\](),;]{4,200})",
    re.I,
)
_WORDS = ("pass", "pwd", "kennwort", "contraseña", "senha", "wachtwoord", "pin", "secret", "key", "token")
_LONG = re.compile(r"[\w./+-]{18}|-----BEGIN")
_BEARER = re.compile(r"\bBearer ([\w.~+/-]{20,2000}=*)")
_LEAST = 2.5  # bits a character: a word repeated, or x's, are placeholders


def secrets(text: str) -> Iterator[Span]:
    """Keys, tokens, passwords in a text as it was written."""
    if _LONG.search(text):
        for form in (_KNOWN, _BLOCK):
            yield from (found.span() for found in form.finditer(text) if _is_random(found[0], 2.0))
    lower = text.lower()
    for found in _SAID.finditer(text) if any(word in lower for word in _WORDS) else ():
        value = found[1].rstrip(".!?:")
        if _is_password(value) or (found[0].lower().startswith("pin") and re.fullmatch(r"\d{4,8}", value)):
            yield found.start(1), found.start(1) + len(value)
    yield from (found.span(1) for found in _BEARER.finditer(text) if _is_random(found[1], _LEAST))


def _is_password(value: str) -> bool:
    """Letters beside digits or signs, so that it is no word of a sentence about passwords, and no two characters over and over."""
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[^\W\d_]", r"\d", r"[^\w\s]|_"))
    return len(value) >= 6 and kinds >= 2 and bool(re.search(r"\d|[!@#$%^&*?~+=]", value)) and _is_random(value, 2.0)


def _is_random(value: str, least: float) -> bool:
    """Whether the characters are as mixed as that, in bits each."""
    shares = (count / len(value) for count in Counter(value).values())
    return -sum(share * math.log2(share) for share in shares) >= least
