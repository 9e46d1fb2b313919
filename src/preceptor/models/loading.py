"""Load models and tokenizers from folders, and convert a GGUF file into such a folder."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    modeling_gguf_pytorch_utils,
)
from transformers.utils import logging

from preceptor.errors import UserError
from preceptor.formats.durable_files import verify_checksums
from preceptor.models.atomic_folder import create_folder_atomically
from preceptor.models.batching import get_max_input_tokens, is_out_of_memory
from preceptor.models.mean_pooling import MeanPooledClassifier, MeanPooledConfig, padding_changes_output

# Hold this while a model is created, loaded, resized or given an adapter. Meanwhile transformers replaces `tie_weights` of all models by
# a function that does nothing, and torch's default dtype, for the whole process. Of two threads that load at once, the second takes that
# function for the real one and leaves it behind: from then on every tied head would be initialised at random.
MODEL_LOCK = threading.RLock()
MULTILABEL = "multi_label_classification"  # as transformers calls it in `problem_type`
ALTERED_HINT = "restore the model's folder from a backup, or train it anew"
BASE_HINT = "a base is a transformers folder with config.json, model.safetensors and a tokenizer"


def load_tokenizer(folder: Path) -> Any:
    """Load the folder's tokenizer; one without a pad token pads with its end-of-text token (masked out wherever it is used).

    Raises UserError where it has neither.
    """
    check_model_folder(folder)
    with silence_transformers(), translate_load_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise UserError(f"the tokenizer of {folder.name} has no pad, end-of-text or unknown token", "add a pad token to it")
    return tokenizer


def get_context_length(folder: Path, tokenizer: Any) -> int:
    """Return how many tokens at once the folder's model reads, see `get_max_input_tokens`."""
    with silence_transformers(), translate_load_errors(folder):
        return get_max_input_tokens(tokenizer, AutoConfig.from_pretrained(folder, local_files_only=True))


def prepare_classifier(folder: Path, answers: Sequence[str], pad_id: int, *, several: bool = False) -> Any:
    """Create a classifier to train from a base: one logit per answer, float32, a new head (or an earlier task's with the same answers).

    several: whether each answer applies or not by itself (multi-label); the model's configuration says so (`problem_type`).

    Encoders get a head over the mean of their tokens; decoders, and other models that transformers can turn into a sequence classifier,
    their family's own head, initialised from torch's seed. Raises UserError for others.
    """
    check_model_folder(folder)
    model = _create_classifier(folder, dict(enumerate(answers)), pad_id, several)
    if not isinstance(model, MeanPooledClassifier):
        _refuse_padding_sensitive(model, folder, pad_id)
    model.config.problem_type = MULTILABEL if several else None
    return model


def _create_classifier(folder: Path, labels: dict[int, str], pad_id: int, several: bool) -> Any:
    with MODEL_LOCK, silence_transformers(), translate_load_errors(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if isinstance(config, MeanPooledConfig):
            earlier = load_classifier(folder)
            same = earlier.config.id2label == labels and is_multilabel(earlier.config) == several
            return earlier if same else MeanPooledClassifier.from_encoder(earlier.body, labels, pad_id)
        if _is_encoder(config):
            body = AutoModel.from_pretrained(folder, config=config, dtype=torch.float32, local_files_only=True)
            with _translate_trial_errors(folder, config):
                return MeanPooledClassifier.from_encoder(body, labels, pad_id)
        earlier_answers = config.id2label if "ForSequenceClassification" in str(config.architectures) else labels
        config.id2label, config.label2id = labels, {answer: number for number, answer in labels.items()}
        config.pad_token_id = pad_id  # a decoder reads its answer at the last token that isn't padding
        if earlier_answers != labels:
            return _with_new_head(folder, config)
        return AutoModelForSequenceClassification.from_pretrained(folder, config=config, dtype=torch.float32, local_files_only=True)


def _refuse_padding_sensitive(model: Any, folder: Path, pad_id: int) -> None:
    """Raise UserError for a classifier whose logits for a text change with padding, or that can't be read by its tokens."""
    end = model.config.eos_token_id
    last = [end] if model.config.is_encoder_decoder and isinstance(end, int) else []
    with _translate_trial_errors(folder, model.config):
        if padding_changes_output(model, lambda ids, mask: model(input_ids=ids, attention_mask=mask).logits, pad_id, last):
            message = f"{folder.name} ({model.config.model_type}) says another thing of a text alone than beside longer ones"
            raise UserError(
                message, "take another base: an encoder (minilm, BERT, ModernBERT, …), or a model that writes", where=str(folder)
            )


@contextmanager
def _translate_trial_errors(folder: Path, config: Any) -> Iterator[None]:
    """Raise UserError for a base that, tried on a few tokens, needs other inputs too."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        message = f"{folder.name} ({config.model_type}) can't read a text by its tokens alone: {first}"
        raise UserError(message, "take another base: minilm, BERT, ModernBERT, …", where=str(folder)) from error


def _with_new_head(folder: Path, config: Any) -> Any:
    """Return the body of an earlier task's classifier under a newly initialised head, since its own has other answers."""
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    body = AutoModel.from_pretrained(folder, config=config, dtype=torch.float32, local_files_only=True)
    getattr(model, model.base_model_prefix).load_state_dict(body.state_dict())
    return model


def _is_encoder(config: Any) -> bool:
    return type(config) in MODEL_FOR_MASKED_LM_MAPPING and not config.is_encoder_decoder and not getattr(config, "is_decoder", False)


def is_encoder(folder: Path) -> bool:
    """Return whether the folder holds an encoder or a classifier made of one; reads the configuration only."""
    check_model_folder(folder)
    with silence_transformers(), translate_load_errors(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    return isinstance(config, MeanPooledConfig) or _is_encoder(config)


def check_encoder(folder: Path, recipe: str) -> None:
    """Raise UserError unless the folder holds an encoder, see `is_encoder`."""
    if not is_encoder(folder):
        hint = f"{recipe} needs an encoder (minilm, BERT, ModernBERT, …); for a model that writes: classify with adapter=lora"
        raise UserError(f"{folder.name} is not an encoder", hint, where=str(folder))


def load_classifier(folder: Path) -> Any:
    """Load a trained sequence classifier, float32, in evaluation mode; its answers are `config.id2label`."""
    check_model_folder(folder)
    with MODEL_LOCK, silence_transformers(), translate_load_errors(folder):
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval()


def is_multilabel(config: Any) -> bool:
    """Return whether each of a classifier's answers applies or not by itself, as its configuration says."""
    return getattr(config, "problem_type", None) == MULTILABEL


def load_causal(folder: Path, *, dtype: Any = torch.float32) -> Any:
    """Load the folder's causal language model, in evaluation mode."""
    check_model_folder(folder)
    with MODEL_LOCK, silence_transformers(), translate_load_errors(folder):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True).eval()


def count_parameters(folder: Path) -> int:
    """Count the weights in a model folder from the files' headers alone; a tied head counts once."""
    check_model_folder(folder)
    return sum(_count_file_parameters(path) for path in folder.glob("*.safetensors"))


def _count_file_parameters(path: Path) -> int:
    with safe_open(path, framework="pt") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118 (not a mapping)


def estimate_weights_bytes(folder: Path) -> int:
    """Estimate the bytes that the weights below a folder take once loaded as float32; 0 where none can be read."""
    try:
        return 4 * sum(_count_file_parameters(path) for path in folder.rglob("*.safetensors"))
    except (OSError, SafetensorError):
        return 0  # loading will report what is wrong


def check_model_folder(folder: Path) -> None:
    """Raise UserError unless the folder exists, looks like a model, and matches its recorded checksums where it has them.

    Its files are read for that once per process; a custom base has no checksums, and costs nothing.
    """
    if not folder.is_dir():
        raise UserError(f"there is no model folder {folder.name}", BASE_HINT, where=str(folder))
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder.name} is not a model: it has no config.json", BASE_HINT, where=str(folder))
    if not any(path.suffix in (".safetensors", ".bin") for path in folder.iterdir()):
        raise UserError(f"{folder.name} is not a model: it has no weights", BASE_HINT, where=str(folder))
    verify_checksums(folder, hint=ALTERED_HINT)


def convert_gguf(gguf: Path, out: Path) -> Path:
    """Convert a GGUF file into a plain float32 transformers folder `out`, which appears complete or not at all."""
    if not gguf.is_file():
        raise UserError(f"there is no GGUF file {gguf.name}", "give the path of a .gguf file", where=str(gguf))
    modeling_gguf_pytorch_utils.tqdm = logging.tqdm  # else unpacking shows a progress bar that can't be disabled
    with MODEL_LOCK, silence_transformers(), translate_load_errors(gguf):
        packed = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
        settings = packed.config.to_dict()
        for packing in ("quantization_config", "_name_or_path", "transformers_version"):
            settings.pop(packing, None)
        # A model that records its quantization refuses to be saved, so its weights move into a new one.
        model = type(packed)(type(packed.config)(**settings))
        model.load_state_dict(packed.state_dict(), strict=False)
        model.tie_weights()
        with create_folder_atomically(out) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    return out


@contextmanager
def translate_load_errors(source: Path) -> Iterator[None]:
    """Turn what transformers raises for a folder it can't read into a UserError that names the folder."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{source.name} can't be loaded: {first}", BASE_HINT, where=str(source)) from error


_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Show no progress bars and no load reports of transformers for what this thread does in the block.

    Other threads, and the settings of the surrounding program, are unaffected: bars and log handlers look at a context variable.
    """
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)


def _progress_bar_hook(factory: Any, arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    if _QUIET.get():
        return logging.EmptyTqdm(*arguments, **settings)
    return _earlier_hook(factory, arguments, settings) if _earlier_hook else factory(*arguments, **settings)


# Warnings of these libraries about their own calls, which users can't act on. Ignored once for the process: a temporary filter in
# one thread (`warnings.catch_warnings`) applies to all, and the last to leave restores what another had set.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)  # PEFT asks transformers for it
warnings.filterwarnings("ignore", "Setting `save_embedding_layers` to `True`", UserWarning)  # which is what a new pad token needs

_earlier_hook = logging.set_tqdm_hook(_progress_bar_hook)
for _handler in logging.get_logger("transformers").handlers:
    _handler.addFilter(lambda _: not _QUIET.get())
