"""Attach, save, load and merge low-rank adapters (LoRA, Hu et al. 2021; DoRA, Liu et al. 2024), with a faster LoRA forward pass.

LoRA learns the product of two thin matrices for each layer; DoRA also the length of each of the layer's rows. `families` says which kinds
of layers are adapted, and for other families `AdapterTargets`. "lora-top" is LoRA on the upper third of the model: what lies under it gives
the same activations in every epoch and is computed once (`frozen_trunk`).

PEFT's own layer applies the thin matrices beside the weight, then scales and adds tensors as wide as the layer's output, three times
forwards and backwards. Folded into the weight for each step, one multiplication reads the tokens forwards and one backwards, and the thin
matrices' gradients come from the layer's input and its output's gradient; their product costs as much as `rank` more tokens. The result is
the same up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora.layer import Linear, LoraLayer, ParamWrapper
from safetensors.torch import load_file
from transformers import AutoConfig
from transformers.pytorch_utils import Conv1D

from preceptor.errors import UserError
from preceptor.models.families import get_expert_counts, get_model_family, get_model_type
from preceptor.models.loading import MODEL_LOCK, silence_transformers, translate_load_errors

_MIN_TOKENS_PER_RANK = 16  # tokens per unit of rank from which folding pays


def fold_lora_layers(model: Any) -> Any:
    """Turn a model's plain LoRA layers into `FoldedLoraLinear`, and return the model; quantized, transposed and other layers stay."""
    for part in model.modules():
        if type(part) is Linear and is_linear(part.base_layer):
            part.__class__ = FoldedLoraLinear  # saving, merging and disabling stay PEFT's
    return model


def is_linear(layer: Any) -> bool:
    """Return whether a layer computes what torch's linear layer does and nothing more.

    A router that subclasses it also returns what it chose.
    """
    if type(layer) is torch.nn.Linear:
        return True
    if not isinstance(layer, torch.nn.Linear) or not layer.weight.is_floating_point() or layer.weight.dim() != 2:
        return False
    with torch.no_grad():
        given = layer.weight.new_ones(1, layer.in_features)
        said = layer(given)
        return isinstance(said, torch.Tensor) and torch.allclose(
            said, torch.nn.functional.linear(given, layer.weight, layer.bias), atol=1e-5
        )


class FoldedLoraLinear(Linear):  # type: ignore[misc]
    """PEFT's LoRA layer, folded into the weight where many float32 tokens come at once; otherwise unchanged."""

    def forward(self, x: Any, *arguments: Any, **named: Any) -> Any:
        """Return the layer's output for x (…, in), folded where that pays."""
        if arguments or named or not self._can_fold(x):
            return super().forward(x, *arguments, **named)
        (name,) = self.active_adapters
        layer = self.base_layer
        return _FoldedLoraFunction.apply(
            x, layer.weight, layer.bias, self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]
        )

    def _can_fold(self, x: Any) -> bool:
        """Return whether one plain adapter is active and there are enough tokens; low precision would lose what is folded into a weight."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1 or torch.is_autocast_enabled(x.device.type):
            return False
        (name,) = self.active_adapters
        plain = name in self.lora_A and name not in self.lora_variant and isinstance(self.lora_dropout[name], torch.nn.Identity)
        if not plain or self.lora_B[name].bias is not None:
            return False
        float32 = x.dtype == self.base_layer.weight.dtype == self.lora_A[name].weight.dtype == torch.float32
        return bool(float32 and x.numel() >= _MIN_TOKENS_PER_RANK * self.r[name] * x.shape[-1])


class _FoldedLoraFunction(torch.autograd.Function):  # type: ignore[misc]
    """x (W + s B A)ᵀ + b for a frozen W and b; x (…, in), W (out, in), A (rank, in), B (out, rank)."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, down: Any, up: Any, scale: float) -> Any:
        ctx.save_for_backward(x, weight, down, up)
        ctx.scale = scale
        return torch.nn.functional.linear(x, torch.addmm(weight, up, down, alpha=scale), bias)

    @staticmethod
    def backward(ctx: Any, outer: Any) -> Any:
        x, weight, down, up = ctx.saved_tensors
        toward_x, shape = None, x.shape
        outer, x = outer.flatten(0, -2), x.flatten(0, -2)
        if ctx.needs_input_grad[0]:
            toward_x = (outer @ torch.addmm(weight, up, down, alpha=ctx.scale)).view(shape)
        toward_down = (outer @ (up * ctx.scale)).T @ x
        toward_up = outer.T @ (x @ (down.T * ctx.scale))
        return toward_x, None, None, toward_down, toward_up, None


AdapterKind = Literal["none", "lora", "lora-top", "dora"]
DEFAULT_RANK = 16
ALPHA_PER_RANK = 2.0  # the factor of the product: alpha / rank
# In a model with stacked experts PEFT takes these names for those of experts before stacking, and adapts other weights than requested.
_RENAMED_BY_PEFT = {"gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"}
TOP_LAYER_SHARE = 1 / 3  # the share of the layers, from the last down, that "lora-top" adapts


def attach_adapter(model: Any, adapter: AdapterKind, rank: int = DEFAULT_RANK) -> Any:
    """Return the model with a new adapter, its own weights frozen; the same model for "none". Initialised from torch's seed.

    What lies outside the body (a classifier's head) is trained in full. Raises UserError for a model without weights that this adapter can
    learn in.
    """
    if adapter == "none":
        return model
    family, heads, layers = get_model_family(model.config), _head_names(model), get_layers(model)
    found, top = AdapterTargets.from_model(model, heads), upper_layers(len(layers)) if adapter == "lora-top" else None
    weights = _parameter_suffixes(found.parameters, top) if adapter != "dora" else []  # PEFT can't learn the row lengths of these
    if not (found.linear or weights):
        raise UserError(
            f"{get_model_type(model.config)} has no linear layers that an adapter can learn in", "train all of its weights: adapter=none"
        )
    if alike := next((name for name in found.linear if name.endswith(tuple(heads))), None):  # PEFT would mistake it for the head
        raise UserError(
            f"{get_model_type(model.config)} calls a layer {alike.rpartition('.')[2]}, as its head",
            "train all of its weights: adapter=none",
        )
    if top == []:
        raise UserError(
            f"{get_model_type(model.config)} has no list of layers, whose upper third lora-top would adapt", "take adapter=lora"
        )
    config = LoraConfig(
        r=rank,
        lora_alpha=round(ALPHA_PER_RANK * rank),
        lora_dropout=0.0,
        target_modules=list(family.adapter_targets) or found.suffixes,
        exclude_modules=[*heads, *found.excluded] or None,
        target_parameters=weights or None,
        modules_to_save=heads or None,
        fan_in_fan_out=family.transposed,
        layers_to_transform=top,
        use_dora=adapter == "dora",
        task_type=None if heads else "CAUSAL_LM",
    )
    with MODEL_LOCK, silence_transformers():
        return fold_lora_layers(get_peft_model(model, config))


@dataclass(frozen=True)
class AdapterTargets:
    """What an adapter learns in, in a model whose family names nothing else: the linear layers within its layers, and its experts.

    linear: names of linear layers. excluded: names of other modules with the same endings. experts: names of expert weights, (experts, …,
    …). parameters: those, and the weights of linear layers that PEFT can't be told by their names; adapted as parameters.

    Routers are never adapted: they choose which experts read a token, and learnt that from far more text. In a state-space mixer only its
    input projection is: its kernels read the other weights directly, so that an adapter beside those would learn nothing.
    """

    linear: tuple[str, ...]
    excluded: tuple[str, ...]
    experts: tuple[str, ...]
    parameters: tuple[str, ...]

    @classmethod
    def from_model(cls, model: Any, heads: Sequence[str] = ()) -> Self:
        """Find the targets in a model. heads: names of modules outside the body, which are trained in full."""
        inside = {id(part) for part in _body_layers(model).modules()}
        parts = {name: part for name, part in model.named_modules() if id(part) in inside}
        count, _ = get_expert_counts(model.config)
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
            and not _is_inside(name, set(heads))
            and not (_is_inside(name, blocks) and _output_width(part) in (1, count))  # a router, or the gate of the shared expert
            and (not _is_inside(name, mixers) or name.rpartition(".")[2].startswith("in_proj"))
        ]
        renamed = {name for name in linear if experts and name.rpartition(".")[2] in _RENAMED_BY_PEFT}
        linear = [name for name in linear if name not in renamed]
        endings = {name.rpartition(".")[2] for name in linear}
        beside = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in endings and name not in set(linear)]
        return cls(tuple(linear), tuple(beside), tuple(experts), (*experts, *(f"{name}.weight" for name in sorted(renamed))))

    @property
    def suffixes(self) -> list[str]:
        """The endings of the linear layers' names."""
        return sorted({name.rpartition(".")[2] for name in self.linear})


def _parameter_suffixes(weights: Sequence[str], top: Sequence[int] | None) -> list[str]:
    """Return the endings of weights' names, or the full names of the weights in the layers `top`."""
    if top is None:
        return sorted(set(map(_name_suffix, weights)))
    return [name for name in weights if any(f".{layer}." in name for layer in top)]


def _body_layers(model: Any) -> Any:
    """Return the layers, or the whole model where no one list holds them all."""
    layers = get_layers(model)
    return layers if len(layers) and not model.config.is_encoder_decoder else model


def _is_inside(name: str, places: set[str]) -> bool:
    return any(name.startswith(f"{place}.") for place in places)


def _output_width(layer: Any) -> int:
    return int(layer.nf if isinstance(layer, Conv1D) else layer.out_features)


def _name_suffix(name: str) -> str:
    """Return the last two parts of a name."""
    return ".".join(name.split(".")[-2:])


def describe_adapter_coverage(model: Any) -> tuple[list[str], list[str]]:
    """Return the endings of the names of what a model's adapter learns in, and of the weights in its layers that stay frozen.

    The second are those without an adapter anywhere: routers, experts that the adapter can't learn in, the inside of a mixer.
    """
    learnt, whole = set[str](), unwrap_model(model)
    for name, part in whole.named_modules():
        if isinstance(part, LoraLayer):
            plain = name.replace(".base_layer", "")
            stacked = isinstance(part, ParamWrapper) and part.get_param().dim() == 3
            learnt.add(_name_suffix(f"{plain}.{part.parameter_name}") if stacked else plain.rpartition(".")[2])
    return sorted(learnt), sorted(set(_untrained_weights(_body_layers(whole))) - learnt)


def _untrained_weights(layers: Any) -> Iterator[str]:
    for name, part in layers.named_modules():
        if ".base_layer" in name or "lora_" in name or isinstance(part, LoraLayer):
            continue
        for own, weights in part.named_parameters(recurse=False):
            if weights.dim() in (2, 3) and own == "weight" and not isinstance(part, torch.nn.Embedding):
                yield name.rpartition(".")[2]
            elif weights.dim() == 3:
                yield _name_suffix(f"{name}.{own}")


def get_layers(model: Any) -> Any:
    """Return the list of a transformers model's layers, from the first to the last; empty where no list holds them all."""
    count = getattr(getattr(model, "body", model).config.get_text_config(), "num_hidden_layers", None)
    lists = (part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == count)
    return next(lists, torch.nn.ModuleList())


def upper_layers(count: int) -> list[int]:
    """Return the indices, from 0, of the layers that "lora-top" adapts in a model of `count` layers."""
    return list(range(count - max(1, round(TOP_LAYER_SHARE * count)), count)) if count else []


def merge_adapter(model: Any) -> Any:
    """Merge a model's adapter into its weights, and return the model without it; a model without an adapter is returned as it is."""
    return model.merge_and_unload() if isinstance(model, PeftModel) else model


def unwrap_model(model: Any) -> Any:
    """Return the transformers model within a PEFT model, adapter layers in place."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def save_adapter(model: Any, folder: Path, base_name: str) -> None:
    """Save the adapter alone in PEFT's own format, with the base called by its name, never by a path of this machine."""
    config = model.peft_config["default"]
    path, config.base_model_name_or_path = config.base_model_name_or_path, base_name
    try:
        with silence_transformers():
            model.save_pretrained(folder, save_embedding_layers=False)
    finally:
        config.base_model_name_or_path = path
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty template


def load_adapter_weights(model: Any, folder: Path) -> None:
    """Load the adapter weights of a folder into the adapter that `model` has."""
    set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))


def load_with_adapter(model: Any, folder: Path) -> Any:
    """Return a base model with the adapter that was saved in `folder`, in evaluation mode."""
    with MODEL_LOCK, silence_transformers(), translate_load_errors(folder):
        return PeftModel.from_pretrained(model, folder).eval()


def refuse_quantized(base: Path) -> None:
    """Raise UserError for a base with quantized weights where there is no GPU to dequantize them."""
    with silence_transformers(), translate_load_errors(base):
        packing = getattr(AutoConfig.from_pretrained(base, local_files_only=True), "quantization_config", None)
    if packing and not torch.cuda.is_available():
        method = packing.get("quant_method", "few bits") if isinstance(packing, dict) else getattr(packing, "quant_method", "few bits")
        raise UserError(
            f"{base.name} is packed ({method}), and packed weights are unpacked by GPU code only; this machine has no GPU",
            "take the base in its full weights, with adapter=lora",
            where=str(base),
        )


def _head_names(model: Any) -> list[str]:
    """Return the names of modules outside a classifier's body that have weights."""
    if not hasattr(model.config, "num_labels") or not type(model).__name__.endswith(("Classifier", "ForSequenceClassification")):
        return []
    body = model.base_model_prefix
    return [name for name, part in model.named_children() if name != body and any(True for _ in part.parameters())]
