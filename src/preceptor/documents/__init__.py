"""Hold a project's documents, and ground answers in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from preceptor.documents.claim_judge import JUDGE_FOLDER, merge_claim_pairs, read_claim_pairs, train_claim_judge
    from preceptor.documents.grounding import DEFAULT_ANSWER_TOKENS, DocumentGrounding, GroundedConversation

__all__ = [
    "DEFAULT_ANSWER_TOKENS",
    "JUDGE_FOLDER",
    "DocumentGrounding",
    "GroundedConversation",
    "merge_claim_pairs",
    "read_claim_pairs",
    "train_claim_judge",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "claim_judge": "JUDGE_FOLDER merge_claim_pairs read_claim_pairs train_claim_judge",
        "grounding": "DEFAULT_ANSWER_TOKENS DocumentGrounding GroundedConversation",
    },
)
