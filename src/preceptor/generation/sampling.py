"""Sample the next token, detokenize incrementally, and build one answer token by token.

What single tokens stand for, as text and as bytes: a character's bytes may be spread over several tokens.

Tokens to text while they come: whole characters only, and nothing that may turn out to begin a stop sequence.

Drawing the next token from a model's log-probabilities.

What is asked of a model that writes, and one answer as it grows, token by token.

What is drawn from is what `scoring` measures.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from preceptor.models.batching import TokenIds
from preceptor.models.causal_lm import ChatTokenizer
from preceptor.types import FloatArray

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\u2581"  # how SentencePiece writes a space


def decode_token_bytes(tokenizer: Any, token: int) -> bytes:
    """The bytes that a token adds to a text. By the tokenizer's own table where it cuts bytes, else those of its text."""
    written = str(tokenizer.convert_ids_to_tokens(int(token)))
    kinds = _decoder_kinds(tokenizer)
    if token in tokenizer.added_tokens_decoder:
        return written.encode()
    if "ByteLevel" in kinds:
        table = _byte_table()
        return bytes(table[sign] for sign in written) if all(sign in table for sign in written) else written.encode()
    if (found := _BYTE_TOKEN.fullmatch(written)) and "ByteFallback" in kinds:
        return bytes([int(found[1], 16)])
    if {"Metaspace", "Replace", "ByteFallback"} & kinds:
        return written.replace(_SPACE, " ").encode()
    return str(tokenizer.decode([int(token)], clean_up_tokenization_spaces=False)).encode()


def format_token_bytes(data: bytes) -> str:
    """Bytes as text; what isn't whole characters as OpenAI writes it, `bytes:\\xf0\\x9f`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _decoder_kinds(tokenizer: Any) -> set[str]:
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


_REPLACEMENT_CHARACTER = "\ufffd"  # what a tokenizer writes for bytes that aren't a character, or not yet
_MAX_PENDING_BYTES = 3  # bytes of a character that may still be missing their last one


class IncrementalDetokenizer:
    """The text of one answer. All that `push` and `finish` return, joined, is the text of all tokens, cut before a stop sequence
    and before a last character that isn't whole.

    start of a token: how many characters stood before it; `told`: how many have been returned.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, [text for text in stop if text]
        self._tokens: list[int] = []
        self._from = self._read = 0  # the tokens before `_read` are whole text; it is read on from `_from`, so that joints are right
        self._text, self._whole = "", 0  # all text so far, and how much of it the tokens before `_read` make
        self.emitted, self.stopped = 0, False

    def __len__(self) -> int:
        """Characters so far, those that are held back included."""
        return len(self._text)

    def push(self, token: int) -> str:
        """Add a token; what can be told now, which may be nothing. After a stop sequence nothing more comes."""
        self._tokens.append(token)
        new = sure = self._new_text()
        for _ in range(_MAX_PENDING_BYTES):
            sure = sure.removesuffix(_REPLACEMENT_CHARACTER)
        self._text = self._text[: self._whole] + sure
        if sure == new:
            self._from, self._read, self._whole = self._read, len(self._tokens), len(self._text)
        return self._emit(self._held_back())

    def finish(self) -> str:
        """What is left when no more tokens come: what only began a stop sequence. A last character that lacks bytes is left out."""
        return self._emit(0)

    def _new_text(self) -> str:
        """The text of the tokens that aren't read yet."""
        return self._decode(self._tokens[self._from :])[len(self._decode(self._tokens[self._from : self._read])) :]

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _emit(self, held: int) -> str:
        if self.stopped:
            return ""
        places = [place for text in self._stop if (place := self._text.find(text, self.emitted)) >= 0]
        if places:
            self.stopped, held, self._text = True, 0, self._text[: min(places)]
        telling = self._text[self.emitted : len(self._text) - held]
        self.emitted += len(telling)
        return telling

    def _held_back(self) -> int:
        """How many of the last characters may be the beginning of a stop sequence."""
        new = self._text[self.emitted :]
        longest = max((min(len(text) - 1, len(new)) for text in self._stop), default=0)
        return next((size for size in range(longest, 0, -1) if any(text.startswith(new[-size:]) for text in self._stop)), 0)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are drawn.

    temperature: 0 takes the most probable. top_p: only the fewest tokens that have so much of the probability. seed: the same
    draws again; none: others each time. presence: taken off a token's logit once it was said; frequency: once for each time.
    bias: added to the logits of these tokens.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    presence: float = 0.0
    frequency: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)


class TokenSampler:
    """Draws the tokens of one answer. What it draws depends on seed and choice, not on what is drawn beside it."""

    def __init__(self, sampling: SamplingParams, choice: int = 0) -> None:
        self.sampling = sampling
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed % 2**64
        self._random = np.random.default_rng([seed, choice])
        self._counts: dict[int, int] = {}

    def sample(self, log_probabilities: FloatArray) -> int:
        """The next token, of log-probabilities (vocabulary,)."""
        scores = self._apply_penalties(log_probabilities)
        if self.sampling.temperature == 0:
            token = int(scores.argmax())
        else:
            token = sample_nucleus(scores / self.sampling.temperature, self.sampling.top_p, float(self._random.random()))
        self._counts[token] = self._counts.get(token, 0) + 1
        return token

    def _apply_penalties(self, scores: FloatArray) -> FloatArray:
        how = self.sampling
        if not how.bias and not how.presence and not how.frequency:
            return scores
        scores = scores.copy()
        for token, extra in how.bias.items():
            scores[token] += extra
        for token, times in self._counts.items():
            scores[token] -= how.presence + how.frequency * times
        return scores


def sample_nucleus(scores: FloatArray, top_p: float, uniform: float) -> int:
    """The token at a place (uniform, from 0 below 1) in the distribution over the fewest tokens that have `top_p` of it."""
    weights = np.exp(scores - scores.max())
    if top_p >= 1:
        sums = weights.cumsum()
        return int(min(sums.searchsorted(uniform * sums[-1], side="right"), len(sums) - 1))
    # All that are less probable than an even share of what may be left out make up less than that together: none of them is needed.
    likely = np.flatnonzero(weights >= (1 - top_p) * weights.sum() / len(weights))
    order = likely[np.argsort(-weights[likely], kind="stable")]
    sums = weights[order].cumsum()
    kept = min(int(sums.searchsorted(top_p * weights.sum(), side="left")) + 1, len(order))
    return int(order[min(int(sums.searchsorted(uniform * sums[kept - 1], side="right")), kept - 1)])


FinishReason = Literal["", "stop", "length"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What is asked: the prompt's tokens, how many tokens an answer may have, how many answers, where they stop.

    top: how many of the most probable tokens are told beside each drawn one, with log-probabilities; none: nothing is.
    deadline: of `time.monotonic`; when it has passed, what there is has to do. caller: whose it is; beginnings of prompts are found
    again by the same caller only.
    """

    prompt: TokenIds
    max_tokens: int
    sampling: SamplingParams = field(default_factory=SamplingParams)
    choices: int = 1
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    deadline: float | None = None
    caller: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token as it is told: its text (see `vocabulary.shown`), its bytes, its log-probability before any settings, in nats."""

    text: str
    data: bytes
    log_probability: float
    top: tuple[tuple[str, bytes, float], ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """What is new of an answer: text, tokens told where asked for, how many tokens were drawn; finish says why it ended, if it did."""

    request: int
    choice: int
    text: str
    logprobs: tuple[TokenLogprob, ...]
    token_count: int
    finish: FinishReason = ""


@dataclass(eq=False)
class ActiveSequence:
    """One answer as it grows."""

    chat: ChatTokenizer
    request: int
    choice: int
    params: GenerationRequest
    tokens: list[int] = field(default_factory=list)  # drawn so far
    pending_logprobs: list[tuple[TokenLogprob, int, int]] = field(default_factory=list)  # not told yet, with where its text begins and ends

    def __post_init__(self) -> None:
        self.sampler, self.detokenizer = (
            TokenSampler(self.params.sampling, self.choice),
            IncrementalDetokenizer(self.chat.tokenizer, self.params.stop),
        )

    def sample_token(self, log_probabilities: FloatArray) -> GenerationChunk:
        """The next token, of these (vocabulary,), and what it adds."""
        token = self.sampler.sample(log_probabilities)
        if token in self.chat.end_tokens or self.params.top_logprobs is None:
            return self.add_token(token, None)
        return self.add_token(token, logprob_from_distribution(self.chat.tokenizer, log_probabilities, token, self.params.top_logprobs))

    def add_token(self, token: int, told: TokenLogprob | None) -> GenerationChunk:
        """What a drawn token adds. told: the token as it is told; of one that ends the answer nothing is."""
        self.tokens.append(token)
        if token in self.chat.end_tokens:
            return self._make_chunk(self.detokenizer.finish(), 1, "stop")
        begin = len(self.detokenizer)
        text = self.detokenizer.push(token)
        if told is not None:
            self.pending_logprobs.append((told, begin, len(self.detokenizer)))
        if self.detokenizer.stopped:
            return self._make_chunk(text, 1, "stop")
        if len(self.tokens) >= self.params.max_tokens:
            text += self.detokenizer.finish()
            return self._make_chunk(text, 1, "stop" if self.detokenizer.stopped else "length")
        return self._make_chunk(text, 1, "")

    def end_early(self, finish: FinishReason = "length") -> GenerationChunk:
        """The end, wherever it is."""
        return self._make_chunk(self.detokenizer.finish(), 0, finish)

    def _make_chunk(self, text: str, drawn: int, finish: FinishReason) -> GenerationChunk:
        return GenerationChunk(self.request, self.choice, text, self._take_emitted_logprobs(finish), drawn, finish)

    def _take_emitted_logprobs(self, finish: FinishReason) -> tuple[TokenLogprob, ...]:
        """Tokens whose text has been told; at the end all but those behind a stop sequence's beginning."""
        until = self.detokenizer.emitted
        if not finish:
            count = next(
                (at for at, (_, begin, end) in enumerate(self.pending_logprobs) if end > until or begin == end == until),
                len(self.pending_logprobs),
            )
        elif self.detokenizer.stopped:
            count = next((at for at, (_, begin, _) in enumerate(self.pending_logprobs) if begin >= until), len(self.pending_logprobs))
        else:
            count = len(self.pending_logprobs)
        told, self.pending_logprobs = self.pending_logprobs[:count], self.pending_logprobs[count:]
        return tuple(each for each, _, _ in told)


def logprob_from_distribution(tokenizer: Any, log_probabilities: FloatArray, token: int, top: int) -> TokenLogprob:
    """A drawn token, and the `top` most probable ones, with their log-probabilities."""
    best: Sequence[int] = ()
    if top:  # a look at the whole vocabulary
        some = np.argpartition(-log_probabilities, min(top, len(log_probabilities) - 1))[:top]
        best = some[np.argsort(-log_probabilities[some], kind="stable")].tolist()
    return logprob_from_candidates(tokenizer, [(each, float(log_probabilities[each])) for each in (token, *best)])


def logprob_from_candidates(tokenizer: Any, tokens: Sequence[tuple[int, float]]) -> TokenLogprob:
    """A drawn token with its log-probability, and after it others that might have been drawn, as they are told."""
    (data, value), *others = [(decode_token_bytes(tokenizer, token), number) for token, number in tokens]
    return TokenLogprob(
        format_token_bytes(data), data, value, tuple((format_token_bytes(other), other, number) for other, number in others)
    )
