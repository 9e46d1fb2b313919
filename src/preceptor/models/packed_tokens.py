"""A byte-level BPE tokenizer as GGUF has it: tokens with their kinds, merges, how text is split before, special tokens, template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preceptor.errors import UserError
from preceptor.models.chat import ChatTokenizer
from preceptor.models.template import Unfit, render

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # gguf.TokenType
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # fmt: skip


@dataclass(frozen=True)
class PackedTokens:
    """tokens, kinds: of each number; named: begin, end, pad and the like by GGUF's names; splitting: llama.cpp's name for it."""

    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    splitting: str
    named: Mapping[str, int]
    begins: bool
    template: str


def packed_tokens(chat: ChatTokenizer, count: int) -> PackedTokens:
    """The tokenizer of a model with `count` token vectors; UserError for one that llama.cpp doesn't read as transformers does."""
    tokenizer = chat.tokenizer
    made = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else {}
    if (made.get("model") or {}).get("type") != "BPE" or made["model"].get("byte_fallback") or made.get("normalizer"):
        raise UserError("the tokenizer isn't byte-level BPE, and no other is written into a GGUF file", "export the folder instead")
    splitting = _splitting(made["pre_tokenizer"])
    tokens = [f"[unused {number}]" for number in range(count)]
    kinds = [UNUSED] * count
    for token, number in tokenizer.get_vocab().items():
        tokens[number], kinds[number] = token, NORMAL
    for added in made["added_tokens"]:
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in made["model"]["merges"]]
    return PackedTokens(tokens, kinds, merges, splitting, _named(chat), _begins(tokenizer), tokenizer.chat_template)


def _splitting(given: Any) -> str:
    """llama.cpp's name for how a text is split before its bytes are merged; UserError for a way that has none here."""
    steps = given["pretokenizers"] if given and given["type"] == "Sequence" else [given]
    kinds = [step and step["type"] for step in steps]
    last = steps[-1]
    if kinds[-1] == "ByteLevel" and not last["add_prefix_space"]:
        if kinds == ["ByteLevel"] and last["use_regex"]:
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and last["use_regex"]:
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and steps[0]["pattern"].get("Regex") == _LLAMA_3 and not last["use_regex"]:
            return "llama-bpe"
    raise UserError(
        f"the tokenizer splits texts in a way that a GGUF file has no name for ({', '.join(map(str, kinds))})", "export the folder instead"
    )


def _named(chat: ChatTokenizer) -> dict[str, int]:
    """Special tokens by GGUF's names. The end is what the template puts after an answer: a program that stops elsewhere rambles on."""
    tokenizer = chat.tokenizer
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        end = render(tokenizer, turn, 1_000_000).end
    except Unfit:  # a template without an end of turn
        end = tokenizer.eos_token_id
    found = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id, "unk": tokenizer.unk_token_id}
    return {kind: number for kind, number in {**found, "eot": end}.items() if number is not None}


def _begins(tokenizer: Any) -> bool:
    """Whether a text's tokens begin with the begin-of-text token."""
    return bool(tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])
