"""Placeholders instead of personal data: the same value has the same one, and no one can find out whose it was by trying values."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

from preceptor.curation.personal.find import bare
from preceptor.curation.personal.finding import Finding
from preceptor.curation.personal.phones import national_number
from preceptor.errors import UserError

_LETTERS = 8  # of base32: 40 bits, so that among 100,000 values two share a placeholder once in 200 projects


def new_key() -> bytes:
    """A key for a project to keep: under it a value keeps its placeholder, and without it nobody can tell which."""
    return secrets.token_bytes(32)


def mask(text: str, findings: Iterable[Finding], key: bytes) -> str:
    """The text with each of its findings replaced, such as `[EMAIL-k3f7q2ma]`.

    findings: those of this text. UserError where one doesn't fit it, or where two overlap.
    """
    pieces, at = list[str](), 0
    for finding in sorted(findings, key=lambda finding: finding.start):
        if finding.start < at or text[finding.start : finding.end] != finding.text or not finding.text:
            raise UserError(
                f"a finding ({finding.kind} at {finding.start}) doesn't fit the text",
                "mask a text with what `find` found in this very text",
            )
        pieces += [text[at : finding.start], placeholder(finding.kind, finding.text, key)]
        at = finding.end
    return "".join([*pieces, text[at:]])


def placeholder(kind: str, value: str, key: bytes) -> str:
    """What stands for a value: its kind, and eight letters by HMAC-SHA256 of how it is set at its plainest."""
    if len(key) < 16:
        raise UserError(f"the key has {len(key)} bytes; whoever can try all keys can try all values", "use `new_key()` once and keep it")
    digest = hmac.new(key, f"{kind}\0{_plainest(kind, value)}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return f"[{kind.upper()}-{base64.b32encode(digest[:5]).decode().lower()[:_LETTERS]}]"


def _plainest(kind: str, value: str) -> str:
    """The same for one value however it is set: spaces, capitals, `(at)`, a country's prefix before a phone number."""
    if kind == "phone":
        return national_number(value)
    if kind == "email":
        value = re.sub(r"\s*[(\[{<]?\s*\bat\b\s*[)\]}>]?\s*", "@", value, flags=re.I) if "@" not in value else value
        value = re.sub(r"\s*[(\[{<]?\s*\bdot\b\s*[)\]}>]?\s*", ".", value, flags=re.I)
        return re.sub(r"\s", "", value).lower()
    return value if kind == "secret" else bare(value)
