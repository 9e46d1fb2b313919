"""Pre-trained and trained models as folders: loading, converting, classifying and scoring, by the same code everywhere.

Training, judging and serving all load weights, tokenize and read probabilities here, so that what was evaluated is what is served.
A model is always a plain transformers folder: weights, configuration, tokenizer. torch is imported with the first of these names that
is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preceptor.models.classifier import TextClassifier, class_probabilities
    from preceptor.models.embeddings import embed_texts
    from preceptor.models.loading import convert_gguf, count_parameters, load_causal, load_classifier, load_tokenizer, prepare_classifier

_HOMES = {
    "TextClassifier": "classifier",
    "class_probabilities": "classifier",
    "convert_gguf": "loading",
    "count_parameters": "loading",
    "embed_texts": "embeddings",
    "load_causal": "loading",
    "load_classifier": "loading",
    "load_tokenizer": "loading",
    "prepare_classifier": "loading",
}
__all__ = [
    "TextClassifier",
    "class_probabilities",
    "convert_gguf",
    "count_parameters",
    "embed_texts",
    "load_causal",
    "load_classifier",
    "load_tokenizer",
    "prepare_classifier",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
