"""A Llama model's folder as one GGUF file, the form that llama.cpp and Ollama read: weights, tokenizer, chat template, end tokens.

What can't be packed such that it says the same there is refused with the reason. Names of fields and tensors: the GGUF
specification (ggml-org/ggml, docs/gguf.md) and llama.cpp's own converter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from preceptor.errors import UserError
from preceptor.models.chat import ChatTokenizer
from preceptor.models.loading import convert_gguf, load_causal
from preceptor.models.packed_tokens import PackedTokens, packed_tokens

ARCHITECTURE = "llama"
Kept = Literal["float32", "bfloat16"]
_FOLDER_HINT = "a Hugging Face folder holds it as it is: preceptor export model MODEL FOLDER"


def pack(folder: Path, file: Path, *, name: str, dtype: Kept = "float32") -> Path:
    """Write a causal model's folder into a GGUF file; `file` must not be there yet. Norms stay in float32.

    UserError for another family than Llama, and for a part of a Llama that the form can't hold.
    """
    import gguf

    model, chat = load_causal(folder), ChatTokenizer(folder)
    check_packable(model.config)
    writer = gguf.GGUFWriter(file, ARCHITECTURE)
    try:
        writer.add_name(name)
        _shape(writer, model.config, gguf.LlamaFileType.ALL_F32 if dtype == "float32" else gguf.LlamaFileType.MOSTLY_BF16)
        _words(writer, packed_tokens(chat, model.get_input_embeddings().num_embeddings))
        for tensor, weight in _tensors(model):
            kept = dtype if weight.dim() > 1 else "float32"
            if kept == "bfloat16":
                raw = weight.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
                writer.add_tensor(tensor, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
            else:
                writer.add_tensor(tensor, weight.float().contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return file


def unpack(file: Path, folder: Path) -> Path:
    """What other software finds in a GGUF file, as a folder: read by transformers, which shares no line with `pack`."""
    return convert_gguf(file, folder)


def check_packable(config: Any) -> None:
    """UserError unless the configuration is that of a Llama as llama.cpp computes it."""
    if config.model_type != ARCHITECTURE:
        raise UserError(f"a GGUF file is written of the Llama family, and this is {config.model_type}", _FOLDER_HINT)
    rope = getattr(config, "rope_parameters", None) or {}
    for odd, why in {
        "its positions are scaled": rope.get("rope_type", "default") != "default",
        "its attention has a bias": getattr(config, "attention_bias", False),
        "its feed-forward layers have a bias": getattr(config, "mlp_bias", False),
        f"its activation is {config.hidden_act}": config.hidden_act != "silu",
    }.items():
        if why:
            raise UserError(f"this Llama can't be put into a GGUF file: {odd}, and it wasn't shown to be the same there", _FOLDER_HINT)


def _shape(writer: Any, config: Any, file_type: int) -> None:
    heads, kept = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_file_type(file_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kept)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _words(writer: Any, words: PackedTokens) -> None:
    writer.add_tokenizer_model("gpt2")  # llama.cpp's name for byte-level BPE
    writer.add_tokenizer_pre(words.splitting)
    writer.add_vocab_size(len(words.tokens))
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.kinds)
    writer.add_token_merges(words.merges)
    for kind, token in words.named.items():
        getattr(writer, f"add_{kind}_token_id")(token)
    writer.add_add_bos_token(words.begins)
    writer.add_chat_template(words.template)


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and weights as llama.cpp has them; a tied head isn't written twice."""
    import gguf

    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        ours = names.get_name(name, try_suffixes=(".weight",))
        if ours is None:
            raise UserError(f"this Llama has a part that a GGUF file has no place for: {name}", _FOLDER_HINT)
        yield ours, _interleaved(weight, _heads(name, config))


def _heads(name: str, config: Any) -> int:
    """Of a query's or a key's weights; 0 for all others."""
    if name.endswith("q_proj.weight"):
        return int(config.num_attention_heads)
    return int(config.num_key_value_heads) if name.endswith("k_proj.weight") else 0


def _interleaved(weight: Any, heads: int) -> Any:
    """Rotated pairs one beside the other in each head: transformers has them half a head apart."""
    if not heads:
        return weight
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)
