"""Sample the next token, detokenize incrementally, and build one answer token by token.

A character's bytes may be spread over several tokens: tokens are represented as bytes, and an answer's text is emitted in whole characters,
without anything that may turn out to begin a stop sequence. Tokens are sampled from the distribution that
`preceptor.models.completion_scoring` measures.
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
_SPACE = "\u2581"  # SentencePiece's sign for a space


def decode_token_bytes(tokenizer: Any, token: int) -> bytes:
    """Return the bytes that a token adds to a text.

    By the tokenizer's own byte table if it has one, else those of the token's text.
    """
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
    """Return bytes as text; what isn't whole characters in OpenAI's notation, `bytes:\\xf0\\x9f`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _decoder_kinds(tokenizer: Any) -> set[str]:
    """Return the types of a fast tokenizer's decoding steps; an empty set for a slow one."""
    kept: set[str] | None = getattr(tokenizer, "_preceptor_decoders", None)
    if kept is None:
        described = json.loads(tokenizer.backend_tokenizer.to_str())["decoder"] if tokenizer.is_fast else None
        steps = [] if described is None else described.get("decoders", [described])
        kept = {step["type"] for step in steps}
        tokenizer._preceptor_decoders = kept
    return kept


@lru_cache(maxsize=1)
def _byte_table() -> dict[str, int]:
    """Return the byte of each sign of byte-level tokenizers (since GPT-2): itself where it is visible, else one above 255."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + number): byte for number, byte in enumerate(hidden)}


_REPLACEMENT_CHARACTER = "\ufffd"  # stands for bytes that aren't a character, or not yet
_MAX_PENDING_BYTES = 3  # most bytes of a character that is still incomplete


class IncrementalDetokenizer:
    """The text of one answer, token by token.

    All that `push` and `finish` return, joined, is the text of all tokens, cut before a stop sequence and before a last character that is
    incomplete. emitted: how many characters have been returned. stopped: whether a stop sequence was found.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, [text for text in stop if text]
        self._tokens: list[int] = []
        self._from = self._read = 0  # tokens before `_read` are complete text; decoding starts at `_from`, so that joints are right
        self._text, self._whole = "", 0  # all text so far, and how much of it the tokens before `_read` make
        self.emitted, self.stopped = 0, False

    def __len__(self) -> int:
        """Characters so far, with those held back."""
        return len(self._text)

    def push(self, token: int) -> str:
        """Add a token and return the text that can be emitted now, which may be empty. After a stop sequence nothing more comes."""
        self._tokens.append(token)
        new = sure = self._new_text()
        for _ in range(_MAX_PENDING_BYTES):
            sure = sure.removesuffix(_REPLACEMENT_CHARACTER)
        self._text = self._text[: self._whole] + sure
        if sure == new:
            self._from, self._read, self._whole = self._read, len(self._tokens), len(self._text)
        return self._emit(self._held_back())

    def finish(self) -> str:
        """Return the text left when no more tokens come: what only began a stop sequence. An incomplete last character is left out."""
        return self._emit(0)

    def _new_text(self) -> str:
        """Return the text of the tokens from `_read` on."""
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
        """Return how many of the last characters may be the beginning of a stop sequence."""
        new = self._text[self.emitted :]
        longest = max((min(len(text) - 1, len(new)) for text in self._stop), default=0)
        return next((size for size in range(longest, 0, -1) if any(text.startswith(new[-size:]) for text in self._stop)), 0)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are sampled.

    temperature: 0 takes the most probable token. top_p: sample only from the fewest tokens that have so much of the probability. seed:
    makes the samples reproducible; None: different ones each time. presence: subtracted from a token's logit once it was sampled;
    frequency: once for each time it was. bias: added to the logits of these tokens.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    presence: float = 0.0
    frequency: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)


class TokenSampler:
    """Samples the tokens of one answer. The samples depend on seed and choice, not on what else is in the batch."""

    def __init__(self, sampling: SamplingParams, choice: int = 0) -> None:
        self.sampling = sampling
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed % 2**64
        self._random = np.random.default_rng([seed, choice])
        self._counts: dict[int, int] = {}

    def sample(self, log_probabilities: FloatArray) -> int:
        """Sample the next token from log-probabilities, (vocabulary,)."""
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
    """Return the token at a place (uniform, in [0, 1)) of the distribution over the fewest tokens that have `top_p` of the probability."""
    weights = np.exp(scores - scores.max())
    if top_p >= 1:
        sums = weights.cumsum()
        return int(min(sums.searchsorted(uniform * sums[-1], side="right"), len(sums) - 1))
    # Tokens less probable than an even share of 1 − top_p have less than 1 − top_p together: none of them is needed.
    likely = np.flatnonzero(weights >= (1 - top_p) * weights.sum() / len(weights))
    order = likely[np.argsort(-weights[likely], kind="stable")]
    sums = weights[order].cumsum()
    kept = min(int(sums.searchsorted(top_p * weights.sum(), side="left")) + 1, len(order))
    return int(order[min(int(sums.searchsorted(uniform * sums[kept - 1], side="right")), kept - 1)])


FinishReason = Literal["", "stop", "length"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request for answers to one prompt.

    prompt: its tokens. max_tokens: of an answer. choices: how many answers. stop: texts that end an answer. top_logprobs: how many of the
    most probable tokens are reported with each sampled one, with log-probabilities; None: no token is reported. deadline: by
    `time.monotonic`; once it has passed, the answer ends where it is. caller: the owner of the request; prompt prefixes are only shared
    within one caller.
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
    """A reported token.

    text: as `format_token_bytes` gives it. data: its bytes. log_probability: before any sampling settings, in nats. top: the same three of
    the most probable tokens.
    """

    text: str
    data: bytes
    log_probability: float
    top: tuple[tuple[str, bytes, float], ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """What is new of an answer.

    request, choice: the request's number and which of its answers. text: new text. logprobs: tokens reported, where requested. token_count:
    tokens sampled. finish: why the answer ended; empty if it didn't.
    """

    request: int
    choice: int
    text: str
    logprobs: tuple[TokenLogprob, ...]
    token_count: int
    finish: FinishReason = ""


@dataclass(eq=False)
class ActiveSequence:
    """One answer while it is generated."""

    chat: ChatTokenizer
    request: int
    choice: int
    params: GenerationRequest
    tokens: list[int] = field(default_factory=list)  # sampled so far
    pending_logprobs: list[tuple[TokenLogprob, int, int]] = field(default_factory=list)  # not reported yet; where its text begins and ends

    def __post_init__(self) -> None:
        self.sampler, self.detokenizer = (
            TokenSampler(self.params.sampling, self.choice),
            IncrementalDetokenizer(self.chat.tokenizer, self.params.stop),
        )

    def sample_token(self, log_probabilities: FloatArray) -> GenerationChunk:
        """Sample the next token from log-probabilities (vocabulary,) and return the chunk that it adds."""
        token = self.sampler.sample(log_probabilities)
        if token in self.chat.end_tokens or self.params.top_logprobs is None:
            return self.add_token(token, None)
        return self.add_token(token, logprob_from_distribution(self.chat.tokenizer, log_probabilities, token, self.params.top_logprobs))

    def add_token(self, token: int, told: TokenLogprob | None) -> GenerationChunk:
        """Add a sampled token and return its chunk. told: the token as it is reported; ignored for a token that ends the answer."""
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
        """End the answer where it is and return its last chunk."""
        return self._make_chunk(self.detokenizer.finish(), 0, finish)

    def _make_chunk(self, text: str, drawn: int, finish: FinishReason) -> GenerationChunk:
        return GenerationChunk(self.request, self.choice, text, self._take_emitted_logprobs(finish), drawn, finish)

    def _take_emitted_logprobs(self, finish: FinishReason) -> tuple[TokenLogprob, ...]:
        """Remove and return the tokens whose text was emitted; at the end all, except those after the start of a stop sequence."""
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
    """Return a sampled token and the `top` most probable ones, with their log-probabilities, from (vocabulary,)."""
    best: Sequence[int] = ()
    if top:  # needs a pass over the whole vocabulary
        some = np.argpartition(-log_probabilities, min(top, len(log_probabilities) - 1))[:top]
        best = some[np.argsort(-log_probabilities[some], kind="stable")].tolist()
    return logprob_from_candidates(tokenizer, [(each, float(log_probabilities[each])) for each in (token, *best)])


def logprob_from_candidates(tokenizer: Any, tokens: Sequence[tuple[int, float]]) -> TokenLogprob:
    """Return a sampled token with its log-probability, and the other candidates that follow it in `tokens`, as they are reported."""
    (data, value), *others = [(decode_token_bytes(tokenizer, token), number) for token, number in tokens]
    return TokenLogprob(
        format_token_bytes(data), data, value, tuple((format_token_bytes(other), other, number) for other, number in others)
    )
