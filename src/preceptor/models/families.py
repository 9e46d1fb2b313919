"""What differs between model families, as data: adapter targets, padding side, and special tokens that tokenizers don't name.

A family is known by its configuration's `model_type`. Any other type gets `OTHER_FAMILY`, whose adapters go into every linear layer but the
head, and works by the Auto classes like the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """One family of architectures.

    model_types: its configurations' `model_type`. adapter_targets: endings of the names of its linear layers, the head never among them;
    empty: every linear layer but the head. padding: the side its tokenizer pads on for generation (training and scoring here pad on the
    right and mask). transposed: whether its weights are stored (in, out), as in GPT-2. special_tokens: tokens that its tokenizers have in
    their vocabulary without declaring their role.
    """

    name: str
    model_types: tuple[str, ...]
    adapter_targets: tuple[str, ...] = ()
    padding: Literal["left", "right"] = "left"
    transposed: bool = False
    special_tokens: Mapping[str, str] = field(default_factory=dict)


_ENCODER_TARGETS = ("query", "key", "value", "intermediate.dense", "output.dense")  # attention's own output.dense among them
_GATED_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

FAMILIES = (
    ModelFamily("BERT", ("bert",), _ENCODER_TARGETS, padding="right"),
    ModelFamily("ERNIE", ("ernie",), _ENCODER_TARGETS, padding="right"),
    ModelFamily("ModernBERT", ("modernbert",), ("Wqkv", "Wo", "Wi"), padding="right"),
    ModelFamily("Falcon", ("falcon",), ("query_key_value", "self_attention.dense", "dense_h_to_4h", "dense_4h_to_h")),
    ModelFamily(
        "Galactica (OPT)",
        ("opt",),
        ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        special_tokens={"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    ),
    ModelFamily("GPT-2", ("gpt2",), ("c_attn", "c_proj", "c_fc"), transposed=True),
    ModelFamily("Llama", ("llama",), _GATED_TARGETS, special_tokens={"pad_token": "<|finetune_right_pad_id|>"}),
    ModelFamily("Qwen", ("qwen2", "qwen3"), _GATED_TARGETS),
    ModelFamily("Mistral", ("mistral",), _GATED_TARGETS),
    ModelFamily("Gemma", ("gemma", "gemma2", "gemma3_text"), _GATED_TARGETS),
)
OTHER_FAMILY = ModelFamily("other", ())
# Names in configurations of the number of experts, and of how many of them read a token.
EXPERT_COUNT_FIELDS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
EXPERTS_PER_TOKEN_FIELDS = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "top_k_experts")


def get_expert_counts(config: Any) -> tuple[int, int]:
    """Return how many experts a layer of a model has, and how many of them read a token; (0, 0) for a model without experts."""
    text = config.get_text_config()
    count, used = (
        next((n for n in (getattr(text, name, None) for name in names) if isinstance(n, int)), 0)
        for names in (EXPERT_COUNT_FIELDS, EXPERTS_PER_TOKEN_FIELDS)
    )
    return (count, max(1, used)) if count > 1 else (0, 0)


def get_model_type(config: Any) -> str:
    """Return the `model_type` of a configuration, or of its body's, where a mean-pooled classifier holds another model."""
    body = getattr(config, "body", None)
    return str(body.get("model_type") if isinstance(body, Mapping) else config.model_type)


def get_model_family(config: Any) -> ModelFamily:
    """Return the family of a model's configuration (or of its body's, where a mean-pooled classifier holds another model)."""
    kind = get_model_type(config)
    return next((family for family in FAMILIES if kind in family.model_types), OTHER_FAMILY)
