"""What differs between model families, as data: where adapters go, which side is padded, tokens that a tokenizer forgot to name.

A family is known by its configuration's `model_type`. One that nobody named here gets `OTHER`, whose adapters go into every
linear layer but the head, and works by the Auto classes like the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Family:
    """One family of architectures.

    adapted: endings of the names of its linear layers, the head never among them; none: every linear layer but the head.
    padding: where its tokenizer pads for generation (training and scoring here pad on the right and mask).
    transposed: its weights are stored (in, out), as in GPT-2.
    special: tokens that its tokenizers have in their vocabulary without saying what they are for.
    """

    name: str
    model_types: tuple[str, ...]
    adapted: tuple[str, ...] = ()
    padding: Literal["left", "right"] = "left"
    transposed: bool = False
    special: Mapping[str, str] = field(default_factory=dict)


_ENCODER = ("query", "key", "value", "intermediate.dense", "output.dense")  # attention's own output.dense among them
_GATED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

FAMILIES = (
    Family("BERT", ("bert",), _ENCODER, padding="right"),
    Family("ERNIE", ("ernie",), _ENCODER, padding="right"),
    Family("ModernBERT", ("modernbert",), ("Wqkv", "Wo", "Wi"), padding="right"),
    Family("Falcon", ("falcon",), ("query_key_value", "self_attention.dense", "dense_h_to_4h", "dense_4h_to_h")),
    Family(
        "Galactica (OPT)",
        ("opt",),
        ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        special={"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    ),
    Family("GPT-2", ("gpt2",), ("c_attn", "c_proj", "c_fc"), transposed=True),
    Family("Llama", ("llama",), _GATED, special={"pad_token": "<|finetune_right_pad_id|>"}),
    Family("Qwen", ("qwen2", "qwen3"), _GATED),
    Family("Mistral", ("mistral",), _GATED),
    Family("Gemma", ("gemma", "gemma2", "gemma3_text"), _GATED),
)
OTHER = Family("other", ())


def family_of(config: Any) -> Family:
    """The family of a model's configuration (or of the body's, where a classifier of ours holds another model)."""
    body = getattr(config, "body", None)
    kind = body.get("model_type") if isinstance(body, Mapping) else config.model_type
    return next((family for family in FAMILIES if kind in family.model_types), OTHER)
