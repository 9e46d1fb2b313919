"""Embed texts as the mean of an encoder's token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from preceptor.errors import UserError
from preceptor.models.batching import TokenIds, batches_by_length, encode_texts, get_max_input_tokens, pad_sequences
from preceptor.models.loading import (
    BASE_HINT,
    MODEL_LOCK,
    check_model_folder,
    load_classifier,
    load_tokenizer,
    silence_transformers,
    translate_load_errors,
)
from preceptor.models.mean_pooling import MeanPooledConfig, mean_pool
from preceptor.types import FloatArray

BATCH_TOKENS = 4096
MAX_TOKENS = 256


def embed_texts(folder: Path, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """Return an embedding of each text, (texts, hidden) float64, from its first 256 tokens, by a base or a trained classifier's body.

    Raises UserError for a folder that isn't a model, and for an encoder-decoder, which has no one body to read with.
    """
    return TextEncoder(folder).embed(texts, batch_tokens=batch_tokens)


class TextEncoder:
    """An encoder that stays loaded for repeated calls. Threads may share it; they take turns."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer, self._body = load_tokenizer(folder), _load_encoder_body(folder)
        self._longest = min(MAX_TOKENS, get_max_input_tokens(self._tokenizer, self._body.config))
        self._turn = Lock()

    def embed(self, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
        """Return an embedding of each text, see `embed_texts`."""
        with self._turn:
            pad_id = self._tokenizer.pad_token_id
            encoded = encode_texts(self._tokenizer, texts, self._longest)
            encoded = [ids or [pad_id] for ids in encoded]  # an empty text of a tokenizer that adds no special tokens
            return mean_token_vectors(self._body, encoded, pad_id, batch_tokens=batch_tokens)


def mean_token_vectors(body: Any, encoded: Sequence[TokenIds], pad_id: int, *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """Return the mean token vector of each row under an encoder's body in evaluation mode, (rows, hidden) float64, in order."""
    vectors = np.zeros((len(encoded), body.config.hidden_size))
    with torch.inference_mode():
        for batch in batches_by_length([len(ids) for ids in encoded], batch_tokens):
            inputs = {name: tensor.to(body.device) for name, tensor in pad_sequences([encoded[row] for row in batch], pad_id).items()}
            mean = mean_pool(body(**inputs).last_hidden_state, inputs["attention_mask"])
            vectors[batch] = mean.double().cpu().numpy()
    return vectors


def _load_encoder_body(folder: Path) -> Any:
    check_model_folder(folder)
    with MODEL_LOCK, silence_transformers(), translate_load_errors(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if isinstance(config, MeanPooledConfig):
            return load_classifier(folder).body
        if config.is_encoder_decoder:
            raise UserError(f"{folder.name} is an encoder-decoder, which can't make vectors here", BASE_HINT, where=str(folder))
        return AutoModel.from_pretrained(folder, config=config, dtype=torch.float32, local_files_only=True).eval()
