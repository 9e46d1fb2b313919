"""The nouns of the system as frozen values; nothing here reads, writes or computes."""

from preceptor.domain.artifacts import Model, Release, Run, digest_of
from preceptor.domain.items import Annotator, Gold, Item, Judgment, Question
from preceptor.domain.results import AnnotatorQuality, Composed, Consensus, Estimate

__all__ = [
    "Annotator",
    "AnnotatorQuality",
    "Composed",
    "Consensus",
    "Estimate",
    "Gold",
    "Item",
    "Judgment",
    "Model",
    "Question",
    "Release",
    "Run",
    "digest_of",
]
