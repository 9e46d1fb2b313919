"""What training left of the base's general knowledge, confirmed on texts and questions that no training has seen."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model
from preceptor.domain.general import General
from preceptor.domain.results import FloatArray
from preceptor.project.general import general_of
from preceptor.statistics import kept, suite_change

if TYPE_CHECKING:
    from preceptor.project.project import Project


Known = tuple[FloatArray, dict[str, FloatArray]]


def of_writer(general: General, folder: Path, base: Path | None) -> Known:
    """Log-probabilities of the texts, and which questions are answered right, by a causal model, or by its base with its tokenizer."""
    from preceptor.models.causal import start_causal
    from preceptor.models.chat import ChatTokenizer
    from preceptor.models.knowledge import readable_texts, right_choices, text_log_probabilities
    from preceptor.models.loading import load_causal

    chat = ChatTokenizer(folder)
    tokenizer = chat.tokenizer
    model = load_causal(folder) if base is None else start_causal(base, tokenizer).eval()
    texts = text_log_probabilities(model, tokenizer, list(readable_texts(tokenizer, general.texts).values()))
    right = {name: right_choices(model, tokenizer, asked, max_tokens=chat.limit) for name, asked in general.suites.items()}
    del model
    gc.collect()  # the next model's weights come into memory
    return texts, right


def of_classifier(general: General, folder: Path, base: Path | None) -> Known:
    """The same by the vectors of a classifier's body, see `preceptor.models.matching`."""
    from preceptor.models.classification import Classifier
    from preceptor.models.loading import start_classifier
    from preceptor.models.matching import matching_log_probabilities, nearest_options
    from preceptor.models.tokens import most_tokens

    tuned = Classifier(folder)
    tokenizer, limit = tuned.tokenizer, most_tokens(tuned.tokenizer, tuned.model.config)
    model = tuned.model if base is None else start_classifier(base, tuned.answers, tokenizer.pad_token_id, several=tuned.several)
    texts = matching_log_probabilities(model, tokenizer, general.texts, max_tokens=limit)
    return texts, {name: nearest_options(model, tokenizer, asked, max_tokens=limit) for name, asked in general.suites.items()}


def forgetting(project: Project, model: Model, base: Path | None, known: Callable[[General, Path, Path | None], Known]) -> dict[str, Any]:
    """`{"kept": Estimate, "texts", "suites": {name: …}}` of a model beside its base; empty where nothing is named or a base missing."""
    parts = general_of(project)
    if parts is None or base is None:
        return {}
    before, after = known(parts.test, model.path, base), known(parts.test, model.path, None)
    suites = {
        name: suite_change(before[1][name], after[1][name], [each.chance for each in questions])
        for name, questions in parts.test.suites.items()
    }
    texts = len(before[0])
    return {"texts": texts, "suites": suites} | ({"kept": kept(before[0], after[0])} if texts else {})
