"""What single tokens stand for, as text and as bytes: a character's bytes may be spread over several tokens."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\u2581"  # how SentencePiece writes a space


def token_bytes(tokenizer: Any, token: int) -> bytes:
    """The bytes that a token adds to a text. By the tokenizer's own table where it cuts bytes, else those of its text."""
    written = str(tokenizer.convert_ids_to_tokens(int(token)))
    kinds = _decoders(tokenizer)
    if token in tokenizer.added_tokens_decoder:
        return written.encode()
    if "ByteLevel" in kinds:
        table = _byte_table()
        return bytes(table[sign] for sign in written) if all(sign in table for sign in written) else written.encode()
    if (found := _BYTE.fullmatch(written)) and "ByteFallback" in kinds:
        return bytes([int(found[1], 16)])
    if {"Metaspace", "Replace", "ByteFallback"} & kinds:
        return written.replace(_SPACE, " ").encode()
    return str(tokenizer.decode([int(token)], clean_up_tokenization_spaces=False)).encode()


def shown(data: bytes) -> str:
    """Bytes as text; what isn't whole characters as OpenAI writes it, `bytes:\\xf0\\x9f`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _decoders(tokenizer: Any) -> set[str]:
    """The kinds of steps by which a fast tokenizer makes text of tokens; none for another."""
    kept: set[str] | None = getattr(tokenizer, "_preceptor_decoders", None)
    if kept is None:
        described = json.loads(tokenizer.backend_tokenizer.to_str())["decoder"] if tokenizer.is_fast else None
        steps = [] if described is None else described.get("decoders", [described])
        kept = {step["type"] for step in steps}
        tokenizer._preceptor_decoders = kept
    return kept


@lru_cache(maxsize=1)
def _byte_table() -> dict[str, int]:
    """The sign that byte-level tokenizers (since GPT-2) write for each byte: itself where it can be seen, else one above 255."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + number): byte for number, byte in enumerate(hidden)}
