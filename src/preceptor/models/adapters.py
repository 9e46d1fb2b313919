"""Low-rank adapters: small trained matrices beside frozen weights, and the merge that makes them part of those.

LoRA (Hu et al. 2021) learns the product of two thin matrices for each layer; DoRA (Liu et al. 2024) also the length of
each of the layer's rows. Which kinds of layers, `families` says, and for other families `Learnable`. "lora-top" is LoRA on the upper
third of the model: what lies under it is the same in every epoch and is read once (`trunk`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from safetensors.torch import load_file
from transformers import AutoConfig
from transformers.pytorch_utils import Conv1D

from preceptor.errors import UserError
from preceptor.models.families import experts_of, family_of, kind_of
from preceptor.models.folding import fold, is_linear
from preceptor.models.loading import MODEL_LOCK, as_user_error, quietly

Adapter = Literal["none", "lora", "lora-top", "dora"]
RANK = 16
SCALE = 2.0  # what the product is multiplied by: alpha / rank
# Beside stacked experts PEFT takes these names for those of experts that were not stacked yet, and adapts other weights than are asked for.
_RENAMED = {"gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"}
TOP = 1 / 3  # of the layers, from the last down, that "lora-top" adapts


def attach(model: Any, adapter: Adapter, rank: int = RANK) -> Any:
    """The model with a new adapter, its own weights frozen; the same model for "none". Drawn from torch's seed.

    What isn't the body (a classifier's head) is trained whole. UserError for a model that has nothing for this adapter to learn in.
    """
    if adapter == "none":
        return model
    family, heads, layers = family_of(model.config), _heads(model), layers_of(model)
    found, top = Learnable.of(model, heads), upper_layers(len(layers)) if adapter == "lora-top" else None
    weights = _endings(found.weights, top) if adapter != "dora" else []  # the length of whose rows PEFT can't learn
    if not (found.linear or weights):
        raise UserError(
            f"{kind_of(model.config)} has no linear layers that an adapter can learn in", "train all of its weights: adapter=none"
        )
    if alike := next((name for name in found.linear if name.endswith(tuple(heads))), None):  # PEFT would take it for the head
        raise UserError(
            f"{kind_of(model.config)} calls a layer {alike.rpartition('.')[2]}, as its head", "train all of its weights: adapter=none"
        )
    if top == []:
        raise UserError(f"{kind_of(model.config)} has no list of layers, whose upper third lora-top would adapt", "take adapter=lora")
    config = LoraConfig(
        r=rank,
        lora_alpha=round(SCALE * rank),
        lora_dropout=0.0,
        target_modules=list(family.adapted) or found.endings,
        exclude_modules=[*heads, *found.beside] or None,
        target_parameters=weights or None,
        modules_to_save=heads or None,
        fan_in_fan_out=family.transposed,
        layers_to_transform=top,
        use_dora=adapter == "dora",
        task_type=None if heads else "CAUSAL_LM",
    )
    with MODEL_LOCK, quietly():
        return fold(get_peft_model(model, config))


@dataclass(frozen=True)
class Learnable:
    """Where an adapter learns in a model whose family names nothing else: the linear layers within its layers, and its experts.

    linear: names of linear layers. beside: names of others that end alike. experts: names of weights (experts, …, …). weights: those,
    and of linear layers that PEFT can't be told by their names; adapted as parameters.

    Never routers: they choose which experts read a token, and what they choose then was learnt over far more text. In a state-space
    mixer only what leads into it: its kernels read the other weights themselves, and an adapter beside those would learn in vain.
    """

    linear: tuple[str, ...]
    beside: tuple[str, ...]
    experts: tuple[str, ...]
    weights: tuple[str, ...]

    @classmethod
    def of(cls, model: Any, heads: Sequence[str] = ()) -> Self:
        inside = {id(part) for part in _body_layers(model).modules()}
        parts = {name: part for name, part in model.named_modules() if id(part) in inside}
        count, _ = experts_of(model.config)
        experts = [
            f"{name}.{own}"
            for name, part in parts.items()
            for own, weights in part.named_parameters(recurse=False)
            if count and weights.dim() == 3 and len(weights) == count
        ]
        blocks = {name.rpartition(".")[0].rpartition(".")[0] for name in experts}
        mixers = {name for name, part in parts.items() if hasattr(part, "A_log") and hasattr(part, "D")}
        linear = [
            name
            for name, part in parts.items()
            if (isinstance(part, Conv1D) or is_linear(part))
            and part is not model.get_output_embeddings()
            and name not in heads
            and not _within(name, set(heads))
            and not (_within(name, blocks) and _width(part) in (1, count))  # a router, or what weighs the expert that all tokens share
            and (not _within(name, mixers) or name.rpartition(".")[2].startswith("in_proj"))
        ]
        renamed = {name for name in linear if experts and name.rpartition(".")[2] in _RENAMED}
        linear = [name for name in linear if name not in renamed]
        endings = {name.rpartition(".")[2] for name in linear}
        beside = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in endings and name not in set(linear)]
        return cls(tuple(linear), tuple(beside), tuple(experts), (*experts, *(f"{name}.weight" for name in sorted(renamed))))

    @property
    def endings(self) -> list[str]:
        return sorted({name.rpartition(".")[2] for name in self.linear})


def _endings(weights: Sequence[str], top: Sequence[int] | None) -> list[str]:
    """Names of weights by their endings, or of those of some layers in full."""
    if top is None:
        return sorted(set(map(_ending, weights)))
    return [name for name in weights if any(f".{layer}." in name for layer in top)]


def _body_layers(model: Any) -> Any:
    """What an adapter learns within: the layers, or the whole model where no one list holds them all."""
    layers = layers_of(model)
    return layers if len(layers) and not model.config.is_encoder_decoder else model


def _within(name: str, places: set[str]) -> bool:
    return any(name.startswith(f"{place}.") for place in places)


def _width(layer: Any) -> int:
    return int(layer.nf if isinstance(layer, Conv1D) else layer.out_features)


def _ending(name: str) -> str:
    """The last two parts of a name."""
    return ".".join(name.split(".")[-2:])


def adapted(model: Any) -> tuple[list[str], list[str]]:
    """Endings of the names of what a model's adapter learns in, and of the weights in its layers that stay as they were.

    The second are those whose like has no adapter anywhere: routers, experts that the adapter can't learn in, a mixer's inside.
    """
    learnt, whole = set[str](), inner(model)
    for name, part in whole.named_modules():
        if isinstance(part, LoraLayer):
            plain = name.replace(".base_layer", "")
            stacked = isinstance(part, ParamWrapper) and part.get_param().dim() == 3
            learnt.add(_ending(f"{plain}.{part.parameter_name}") if stacked else plain.rpartition(".")[2])
    return sorted(learnt), sorted(set(_unlearnt(_body_layers(whole))) - learnt)


def _unlearnt(layers: Any) -> Iterator[str]:
    for name, part in layers.named_modules():
        if ".base_layer" in name or "lora_" in name or isinstance(part, LoraLayer):
            continue
        for own, weights in part.named_parameters(recurse=False):
            if weights.dim() in (2, 3) and own == "weight" and not isinstance(part, torch.nn.Embedding):
                yield name.rpartition(".")[2]
            elif weights.dim() == 3:
                yield _ending(f"{name}.{own}")


def layers_of(model: Any) -> Any:
    """The list of a transformers model's layers, from the first to the last; empty where no list holds them all."""
    count = getattr(getattr(model, "body", model).config.get_text_config(), "num_hidden_layers", None)
    lists = (part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == count)
    return next(lists, torch.nn.ModuleList())


def upper_layers(count: int) -> list[int]:
    """Numbers of the layers that "lora-top" adapts, counted from 0, of a model that has so many."""
    return list(range(count - max(1, round(TOP * count)), count)) if count else []


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
