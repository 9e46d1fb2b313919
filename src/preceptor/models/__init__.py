"""Pre-trained and trained models as folders: loading, converting, classifying and scoring, by the same lines everywhere.

Training, judging and serving all come here to load weights, cut text into tokens and read probabilities, so that what
was evaluated is what is served. A model is always a plain transformers folder: weights, configuration, tokenizer.
"""

from preceptor.models.classification import Classifier, class_probabilities
from preceptor.models.loading import (
    convert_gguf,
    count_parameters,
    load_causal,
    load_classifier,
    load_tokenizer,
    start_classifier,
)

__all__ = [
    "Classifier",
    "class_probabilities",
    "convert_gguf",
    "count_parameters",
    "load_causal",
    "load_classifier",
    "load_tokenizer",
    "start_classifier",
]
