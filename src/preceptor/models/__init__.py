"""Pre-trained and trained models as folders: loading, converting, classifying and scoring, by the same lines everywhere.

Training, judging and serving all come here to load weights, cut text into tokens and read probabilities, so that what
was evaluated is what is served. A model is always a plain transformers folder: weights, configuration, tokenizer.
"""

import os

# Read when torch loads. torch's threads wait for each other by spinning; where another process has one of the cores, they
# spin while the one they wait for cannot run, and training was seen to take eight times as long (docs/experiments.md).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from preceptor.models.classification import Classifier, class_probabilities
from preceptor.models.embedding import text_vectors
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
    "text_vectors",
]
