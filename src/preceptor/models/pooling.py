"""A classifier over the mean of an encoder's token vectors.

Sentence encoders are pre-trained to mean something on average over their tokens; the usual classification head reads
the first token only, which they never trained. On the Amazon sentences the mean gave a lower log loss
(docs/experiments.md). The model type is our own, so that other software refuses the folder rather than draw a new head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

HEAD_SPREAD = 0.02


class MeanPooledConfig(PreTrainedConfig):  # type: ignore[misc]
    """`body` is the encoder's own configuration as a dictionary; labels as in any transformers classifier."""

    model_type = "preceptor_mean_pooled"

    def __init__(self, body: Mapping[str, Any] | None = None, dropout: float = 0.1, **settings: Any) -> None:
        self.body, self.dropout = dict(body or {}), dropout
        super().__init__(**settings)


class MeanPooledClassifier(PreTrainedModel):  # type: ignore[misc]
    """Encoder, mean over the tokens that aren't padding, dropout, one linear layer."""

    config_class = MeanPooledConfig
    base_model_prefix = "body"
    _supports_sdpa = True

    def __init__(self, config: MeanPooledConfig) -> None:
        super().__init__(config)
        self.body = AutoModel.from_config(AutoConfig.for_model(**config.body))
        if getattr(self.body, "pooler", None) is not None:
            self.body.pooler = None  # reads the first token only, and would never get a gradient
        self.dropout = torch.nn.Dropout(config.dropout)
        self.head = torch.nn.Linear(self.body.config.hidden_size, config.num_labels)
        self.post_init()

    @classmethod
    def over(cls, body: Any, labels: Mapping[int, str]) -> MeanPooledClassifier:
        """A classifier over a pre-trained encoder; its head is drawn from torch's seed."""
        settings: dict[str, Any] = {"id2label": dict(labels), "label2id": {answer: number for number, answer in labels.items()}}
        described = body.config.to_diff_dict()
        described.pop("_name_or_path", None)  # a path of this machine
        model = cls(MeanPooledConfig(described, **settings))
        model.body.load_state_dict(body.state_dict(), strict=False)
        # Not zeros: the body then learns late, and validation loss was a tenth higher in the end (docs/experiments.md).
        torch.nn.init.normal_(model.head.weight, std=HEAD_SPREAD)
        torch.nn.init.zeros_(model.head.bias)
        return model

    def features(self, input_ids: Any, attention_mask: Any) -> Any:
        """Mean token vector of each row, (rows, hidden)."""
        return mean_over_tokens(self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state, attention_mask)

    def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        return SequenceClassifierOutput(logits=self.head(self.dropout(self.features(input_ids, attention_mask))))


def mean_over_tokens(vectors: Any, attention_mask: Any) -> Any:
    """Mean of each row's vectors (rows, tokens, hidden) over the tokens that aren't padding, (rows, hidden); 0 without any."""
    mask = attention_mask.unsqueeze(-1).to(vectors.dtype)
    return (vectors * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


AutoConfig.register(MeanPooledConfig.model_type, MeanPooledConfig)
AutoModelForSequenceClassification.register(MeanPooledConfig, MeanPooledClassifier)
