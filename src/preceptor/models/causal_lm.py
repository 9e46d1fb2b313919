"""Prepare a causal language model and its tokenizer for training, and open one for chat.

Training needs a pad token of its own, a chat template and an end-of-text token. For chat, a conversation is tokenized as in training; the
folder determines the tokens that end an answer and the context length.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, AutoTokenizer, GenerationConfig

from preceptor.errors import UserError
from preceptor.models.chat_template import (
    ChatMessage,
    RenderError,
    get_special_tokens,
    make_plain_template,
    render_chat_text,
    render_conversation,
)
from preceptor.models.families import get_model_family
from preceptor.models.loading import (
    MODEL_LOCK,
    check_model_folder,
    get_context_length,
    load_causal,
    load_tokenizer,
    silence_transformers,
    translate_load_errors,
)

PAD_TOKEN = "<|pad|>"
_COMMON_PAD_TOKENS = ("<pad>", "[PAD]", PAD_TOKEN, "<|padding|>")
_CAUSAL_HINT = "this needs a causal model (Llama, GPT-2, Qwen, …); for an encoder use the recipe classify"


def check_causal(folder: Path) -> None:
    """Raise UserError unless the folder holds a causal language model, which reads from left to right and generates."""
    check_model_folder(folder)
    with silence_transformers(), translate_load_errors(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    reads_both_ways = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or config.is_encoder_decoder or reads_both_ways:
        raise UserError(f"{folder.name} ({config.model_type}) is not a causal model", _CAUSAL_HINT, where=str(folder))


def prepare_tokenizer(folder: Path) -> Any:
    """Load the folder's tokenizer and add what training needs: an end-of-text token, a pad token of its own, a chat template.

    What its family knows of its vocabulary comes first, then the configuration's end token, then a new token for padding. A missing
    template becomes the plain one. All of it is saved with the model. Raises UserError where no end-of-text token is known.
    """
    with silence_transformers(), translate_load_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    family, known = get_model_family(config), tokenizer.get_vocab()
    for field, token in family.special_tokens.items():
        if getattr(tokenizer, field) is None and token in known:
            setattr(tokenizer, field, token)
    if tokenizer.eos_token is None:
        tokenizer.eos_token = _configured_end_token(config, tokenizer)
    if tokenizer.eos_token is None:
        raise UserError(
            f"the tokenizer of {folder.name} has no end-of-text token: the model would never learn to stop", "name its eos_token"
        )
    if tokenizer.pad_token is None:
        usual = next((token for token in _COMMON_PAD_TOKENS if token in known and token != tokenizer.eos_token), PAD_TOKEN)
        tokenizer.add_special_tokens({"pad_token": usual})
    if tokenizer.chat_template is None:
        tokenizer.chat_template = make_plain_template(tokenizer)
    tokenizer.padding_side = family.padding
    return tokenizer


def _configured_end_token(config: Any, tokenizer: Any) -> str | None:
    end = config.eos_token_id[0] if isinstance(config.eos_token_id, list) else config.eos_token_id
    return None if end is None else str(tokenizer.convert_ids_to_tokens(end))


def prepare_causal(folder: Path, tokenizer: Any) -> Any:
    """Load the folder's causal model with an embedding for each of the tokenizer's tokens, float32, in training mode, without a cache.

    A new token's embeddings are the mean of the others', so that it hardly changes any probability.
    """
    model = load_causal(folder)
    before = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > before:
        with MODEL_LOCK, silence_transformers():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        with torch.no_grad():
            for layer in {id(part): part for part in (model.get_input_embeddings(), model.get_output_embeddings())}.values():
                layer.weight[before:] = layer.weight[:before].mean(dim=0)
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config.use_cache = False  # training reads every token once
    return model.train()


def set_stop_tokens(model: Any, ends: set[int], tokenizer: Any) -> None:
    """Have generation stop where training taught it to: at the template's end of turn as well as at the end of the text."""
    known = model.generation_config.eos_token_id
    before = known if isinstance(known, list) else [] if known is None else [known]
    stops = sorted({*before, *ends, tokenizer.eos_token_id})
    model.generation_config.eos_token_id = stops if len(stops) > 1 else stops[0]
    model.config.use_cache = True


class ContextLengthExceeded(UserError):
    """Raised for a conversation that, with the answer requested, is longer than the model's context."""


class ChatTokenizer:
    """The chat tokenizer of a model in a folder.

    limit: how many tokens the model reads in all. end_tokens: those after which an answer is over. special_tokens: the model's special
    tokens as text.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = load_tokenizer(folder)
        if self.tokenizer.chat_template is None:
            self.tokenizer.chat_template = make_plain_template(self.tokenizer)  # as training gives to a base without one
        self.limit = get_context_length(folder, self.tokenizer)
        self.end_tokens = _find_end_tokens(folder, self.tokenizer)
        self.special_tokens = get_special_tokens(self.tokenizer)

    def with_limit(self, most: int) -> ChatTokenizer:
        """Return this tokenizer with a limit of at most `most` tokens."""
        if most >= self.limit:
            return self
        made = copy(self)
        made.limit = most
        return made

    def encode_prompt(self, turns: Sequence[ChatMessage]) -> list[int]:
        """Return the tokens of a conversation (dicts of role and content) up to where the model's turn begins.

        Raises UserError when a text holds the model's own special tokens, which would end a turn or begin one, or when the template refuses
        the conversation.
        """
        for number, turn in enumerate(turns):
            if mark := next((mark for mark in sorted(self.special_tokens) if mark in turn["content"]), None):
                hint = "write it otherwise: it would end a turn, or begin another's"
                raise UserError(f"the text holds {mark!r}, a special token of this model", hint, where=f"messages[{number}].content")
        try:
            text = render_chat_text(self.tokenizer, turns, answering=True)
        except RenderError:
            raise UserError("this model's chat template refuses the conversation", "see which roles it knows", where="messages") from None
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def max_answer_tokens(self, prompt: Sequence[int], wanted: int | None, usual: int) -> int:
        """Return how many tokens an answer may have: those wanted, or the usual number if so many are left.

        Raises ContextLengthExceeded when the wanted number doesn't fit.
        """
        left = self.limit - len(prompt)
        if left < (wanted or 1):
            asked = f" and {wanted:,} of the answer" if wanted else ""
            hint = "shorten the messages" + (", or ask for fewer tokens" if wanted else "")
            message = f"this model reads {self.limit:,} tokens; the messages have {len(prompt):,}{asked}"
            raise ContextLengthExceeded(message, hint, where="messages")
        return wanted or min(left, usual)


class ChatModel(ChatTokenizer):
    """A chat tokenizer with the model's weights."""

    def __init__(self, folder: Path, model: Any = None) -> None:
        """Load the weights, unless a model is given."""
        super().__init__(folder)
        self.model = load_causal(folder) if model is None else model


def _find_end_tokens(folder: Path, tokenizer: Any) -> frozenset[int]:
    """Return the end tokens of the generation settings, the end of text, and what the template puts after an answer."""
    found = {tokenizer.eos_token_id}
    if (folder / "generation_config.json").is_file():
        with silence_transformers():
            named = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
        found |= set(named) if isinstance(named, list) else {named}
    with suppress(RenderError):  # a template without an end of turn: only the end of text is left
        found.add(
            render_conversation(tokenizer, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], 1_000_000).end_token
        )
    return frozenset(found - {None})
