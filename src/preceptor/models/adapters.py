"""Low-rank adapters: small trained matrices beside frozen weights, and the merge that makes them part of those.

LoRA (Hu et al. 2021) learns the product of two thin matrices for each layer; DoRA (Liu et al. 2024) also the length of
each of the layer's rows. Which layers, `families` says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoConfig

from preceptor.errors import UserError
from preceptor.models.families import family_of
from preceptor.models.loading import as_user_error, quietly

Adapter = Literal["none", "lora", "dora"]
ADAPTERS = get_args(Adapter)
RANK = 16
SCALE = 2.0  # what the product is multiplied by: alpha / rank


def attach(model: Any, adapter: Adapter, rank: int = RANK) -> Any:
    """The model with a new adapter, its own weights frozen; the same model for "none". Drawn from torch's seed.

    What isn't the body (a classifier's head) is trained whole.
    """
    if adapter == "none":
        return model
    family = family_of(model.config)
    heads = _heads(model)
    config = LoraConfig(
        r=rank,
        lora_alpha=round(SCALE * rank),
        lora_dropout=0.0,
        target_modules=list(family.adapted) or "all-linear",
        exclude_modules=heads or None,
        modules_to_save=heads or None,
        fan_in_fan_out=family.transposed,
        use_dora=adapter == "dora",
        task_type=None if heads else "CAUSAL_LM",
    )
    with quietly():
        return get_peft_model(model, config)


def merged(model: Any) -> Any:
    """The model itself with its adapter added into its weights; a model without one as it is. The adapter is gone afterwards."""
    return model.merge_and_unload() if isinstance(model, PeftModel) else model


def inner(model: Any) -> Any:
    """The transformers model within, adapter layers in place."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def save_adapter(model: Any, folder: Path, base_name: str) -> None:
    """The adapter alone, in PEFT's own form, the base called by its name and never by a path of this machine."""
    config = model.peft_config["default"]
    path, config.base_model_name_or_path = config.base_model_name_or_path, base_name
    try:
        with quietly():
            model.save_pretrained(folder, save_embedding_layers=False)
    finally:
        config.base_model_name_or_path = path
    (folder / "README.md").unlink(missing_ok=True)  # a form to be filled in


def put_adapter(model: Any, folder: Path) -> None:
    """Put the adapter weights of a folder into the adapter that `model` has."""
    set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))


def with_adapter(model: Any, folder: Path) -> Any:
    """A base with the adapter that was saved in `folder`, in evaluation mode."""
    with quietly(), as_user_error(folder):
        return PeftModel.from_pretrained(model, folder).eval()


def refuse_packed(base: Path) -> None:
    """UserError for a base whose weights are packed in few bits where there is no GPU to unpack them."""
    with quietly(), as_user_error(base):
        packing = getattr(AutoConfig.from_pretrained(base, local_files_only=True), "quantization_config", None)
    if packing and not torch.cuda.is_available():
        method = packing.get("quant_method", "few bits") if isinstance(packing, dict) else getattr(packing, "quant_method", "few bits")
        raise UserError(
            f"{base.name} is packed ({method}), and packed weights are unpacked by GPU code only; this machine has no GPU",
            "take the base in its full weights, with adapter=lora",
            where=str(base),
        )


def _heads(model: Any) -> list[str]:
    """Names of what stands beside a classifier's body and has weights."""
    if not hasattr(model.config, "num_labels") or not type(model).__name__.endswith(("Classifier", "ForSequenceClassification")):
        return []
    body = model.base_model_prefix
    return [name for name, part in model.named_children() if name != body and any(True for _ in part.parameters())]
