"""Classify by the mean of an encoder's token vectors.

Sentence encoders are pre-trained so that the mean over their tokens has a meaning; the usual classification head reads the first token
only, which they never trained. On the Amazon sentences the mean gave a lower log loss (docs/experiments.md). The model type is Preceptor's
own, so that other software refuses the folder rather than initialise a new head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from preceptor.models.batching import pad_sequences

HEAD_INIT_STD = 0.02


class MeanPooledConfig(PreTrainedConfig):  # type: ignore[misc]
    """The configuration of a mean-pooled classifier; labels as in any transformers classifier.

    body: the encoder's own configuration as a dictionary. dropout: before the head. alone: whether only rows of equal length are read
    together, since padding changes this encoder's output (`padding_changes_output`).
    """

    model_type = "preceptor_mean_pooled"

    def __init__(self, body: Mapping[str, Any] | None = None, dropout: float = 0.1, alone: bool = False, **settings: Any) -> None:
        self.body, self.dropout, self.alone = dict(body or {}), dropout, alone
        super().__init__(**settings)


class MeanPooledClassifier(PreTrainedModel):  # type: ignore[misc]
    """A classifier of an encoder, the mean over the tokens that aren't padding, dropout, and one linear layer."""

    config_class = MeanPooledConfig
    base_model_prefix = "body"
    _supports_sdpa = True

    def __init__(self, config: MeanPooledConfig) -> None:
        super().__init__(config)
        self.body = AutoModel.from_config(AutoConfig.for_model(**config.body))
        if getattr(self.body, "pooler", None) is not None:
            self.body.pooler = torch.nn.Identity()  # reads the first token only, and would never get a gradient
        self.dropout = torch.nn.Dropout(config.dropout)
        self.head = torch.nn.Linear(self.body.config.hidden_size, config.num_labels)
        self.post_init()

    @classmethod
    def from_encoder(cls, body: Any, labels: Mapping[int, str], pad_id: int = 0) -> MeanPooledClassifier:
        """Create a classifier over a pre-trained encoder, its head initialised from torch's seed."""
        settings: dict[str, Any] = {"id2label": dict(labels), "label2id": {answer: number for number, answer in labels.items()}}
        described = body.config.to_diff_dict()
        described.pop("_name_or_path", None)  # a path of this machine
        model = cls(MeanPooledConfig(described, **settings))
        model.body.load_state_dict(body.state_dict(), strict=False)
        # Not zeros: the body would learn late, and validation loss was a tenth higher in the end (docs/experiments.md).
        torch.nn.init.normal_(model.head.weight, std=HEAD_INIT_STD)
        torch.nn.init.zeros_(model.head.bias)
        model.config.alone = padding_changes_output(model, model.features, pad_id)
        return model

    def features(self, input_ids: Any, attention_mask: Any) -> Any:
        """Return the mean token vector of each row, (rows, hidden)."""
        if not self.config.alone:
            return mean_pool(self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state, attention_mask)
        lengths = attention_mask.sum(dim=1)
        groups = [(lengths == length).nonzero()[:, 0] for length in lengths.unique()]
        vectors = [self.body(input_ids=input_ids[rows, : lengths[rows[0]]]).last_hidden_state.mean(dim=1) for rows in groups]
        return torch.cat(vectors)[torch.cat(groups).argsort()]

    def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        """Return the logits of each row, (rows, labels), as transformers' `SequenceClassifierOutput`."""
        return SequenceClassifierOutput(logits=self.head(self.dropout(self.features(input_ids, attention_mask))))


def padding_changes_output(model: Any, read: Callable[[Any, Any], Any], pad_id: int, last: Sequence[int] = ()) -> bool:
    """Return whether a model's output for a row changes when it is batched with a longer one.

    read: returns the output (rows, …) for `input_ids` and `attention_mask`. last: tokens that each row ends with.
    """
    short, long = [*range(5, 10), *last], [*range(5, 14), *last]
    training = model.training
    model.eval()
    with torch.no_grad():
        alone = read(*pad_sequences([short], pad_id).values())[0]
        beside = read(*pad_sequences([short, long], pad_id).values())[0]
    model.train(training)
    return not torch.allclose(alone, beside, rtol=0, atol=1e-4 * float(alone.abs().max()))


def mean_pool(vectors: Any, attention_mask: Any) -> Any:
    """Return the mean of each row's vectors (rows, tokens, hidden) over the tokens that aren't padding, (rows, hidden); 0 without any."""
    mask = attention_mask.unsqueeze(-1).to(vectors.dtype)
    return (vectors * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


AutoConfig.register(MeanPooledConfig.model_type, MeanPooledConfig)
AutoModelForSequenceClassification.register(MeanPooledConfig, MeanPooledClassifier)
