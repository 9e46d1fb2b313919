"""A causal language model and its tokenizer made ready to learn: a pad token of its own, a chat template, an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, AutoTokenizer

from preceptor.errors import UserError
from preceptor.models.families import family_of
from preceptor.models.loading import MODEL_LOCK, as_user_error, check_model_folder, load_causal, quietly
from preceptor.models.template import plain_template

PAD = "<|pad|>"
_USUAL_PADS = ("<pad>", "[PAD]", PAD, "<|padding|>")
_CAUSAL_HINT = "this needs a causal model (Llama, GPT-2, Qwen, …); for an encoder use the recipe classify"


def check_causal(folder: Path) -> None:
    """UserError unless the folder holds a model that reads from left to right and writes."""
    check_model_folder(folder)
    with quietly(), as_user_error(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    reads_both_ways = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or config.is_encoder_decoder or reads_both_ways:
        raise UserError(f"{folder.name} ({config.model_type}) is not a causal model", _CAUSAL_HINT, where=str(folder))


def start_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer with what training needs and some lack: an end-of-text token, a pad token of its own, a template.

    What its family knows of its vocabulary comes first, then the configuration's end, then a new token for padding. A
    template that isn't there becomes the plain one. All of it is saved with the model.
    """
    with quietly(), as_user_error(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    family, known = family_of(config), tokenizer.get_vocab()
    for field, token in family.special.items():
        if getattr(tokenizer, field) is None and token in known:
            setattr(tokenizer, field, token)
    if tokenizer.eos_token is None:
        tokenizer.eos_token = _named_end(config, tokenizer)
    if tokenizer.eos_token is None:
        raise UserError(
            f"the tokenizer of {folder.name} has no end-of-text token: the model would never learn to stop", "name its eos_token"
        )
    if tokenizer.pad_token is None:
        usual = next((token for token in _USUAL_PADS if token in known and token != tokenizer.eos_token), PAD)
        tokenizer.add_special_tokens({"pad_token": usual})
    if tokenizer.chat_template is None:
        tokenizer.chat_template = plain_template(tokenizer)
    tokenizer.padding_side = family.padding
    return tokenizer


def _named_end(config: Any, tokenizer: Any) -> str | None:
    end = config.eos_token_id[0] if isinstance(config.eos_token_id, list) else config.eos_token_id
    return None if end is None else str(tokenizer.convert_ids_to_tokens(end))


def start_causal(folder: Path, tokenizer: Any) -> Any:
    """The folder's causal model with a vector for each of the tokenizer's tokens, float32, in training mode, without a cache.

    A new token's vectors are the mean of the others', so that it changes hardly any probability.
    """
    model = load_causal(folder)
    before = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > before:
        with MODEL_LOCK, quietly():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        with torch.no_grad():
            for layer in {id(part): part for part in (model.get_input_embeddings(), model.get_output_embeddings())}.values():
                layer.weight[before:] = layer.weight[:before].mean(dim=0)
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config.use_cache = False  # nothing is read twice in training
    return model.train()


def stop_at(model: Any, ends: set[int], tokenizer: Any) -> None:
    """Have generation stop where training taught it to: at the template's end of turn as well as at the end of the text."""
    known = model.generation_config.eos_token_id
    before = known if isinstance(known, list) else [] if known is None else [known]
    stops = sorted({*before, *ends, tokenizer.eos_token_id})
    model.generation_config.eos_token_id = stops if len(stops) > 1 else stops[0]
    model.config.use_cache = True
