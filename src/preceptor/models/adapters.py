"""Low-rank adapters: small trained matrices beside frozen weights, and the merge that makes them part of those.

LoRA (Hu et al. 2021) learns the product of two thin matrices for each layer; DoRA (Liu et al. 2024) also the length of
each of the layer's rows. Which kinds of layers, `families` says. "lora-top" is LoRA on the upper third of the model: what lies
under it is the same in every epoch and is read once (`trunk`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoConfig

from preceptor.errors import UserError
from preceptor.models.families import family_of
from preceptor.models.folding import fold
from preceptor.models.loading import MODEL_LOCK, as_user_error, quietly

Adapter = Literal["none", "lora", "lora-top", "dora"]
RANK = 16
SCALE = 2.0  # what the product is multiplied by: alpha / rank
TOP = 1 / 3  # of the layers, from the last down, that "lora-top" adapts


def attach(model: Any, adapter: Adapter, rank: int = RANK) -> Any:
    """The model with a new adapter, its own weights frozen; the same model for "none". Drawn from torch's seed.

    What isn't the body (a classifier's head) is trained whole.
    """
    if adapter == "none":
        return model
    family, heads, layers = family_of(model.config), _heads(model), layers_of(model)
    everywhere = {name.rpartition(".")[2] for name, part in layers.named_modules() if isinstance(part, torch.nn.Linear)}
    config = LoraConfig(
        r=rank,
        lora_alpha=round(SCALE * rank),
        lora_dropout=0.0,
        target_modules=list(family.adapted) or (sorted(everywhere) if adapter == "lora-top" else "all-linear"),
        exclude_modules=heads or None,
        modules_to_save=heads or None,
        fan_in_fan_out=family.transposed,
        layers_to_transform=upper_layers(len(layers)) if adapter == "lora-top" else None,
        use_dora=adapter == "dora",
        task_type=None if heads else "CAUSAL_LM",
    )
    with MODEL_LOCK, quietly():
        return fold(get_peft_model(model, config))


def layers_of(model: Any) -> Any:
    """The list of a transformers model's layers, from the first to the last; empty where no list holds them all."""
    body = getattr(model.config, "body", None)
    count = body["num_hidden_layers"] if isinstance(body, dict) else model.config.get_text_config().num_hidden_layers
    lists = (part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == count)
    return next(lists, torch.nn.ModuleList())


def upper_layers(count: int) -> list[int]:
    """Numbers of the layers that "lora-top" adapts, counted from 0, of a model that has so many."""
    return list(range(count - max(1, round(TOP * count)), count))


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
    with MODEL_LOCK, quietly(), as_user_error(folder):
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
