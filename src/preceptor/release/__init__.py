"""Release models, trace what they were made from, and remove what they must forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from preceptor.release.gate import GateCheck
    from preceptor.release.model_catalog import ModelCatalog, OfferedModel
    from preceptor.release.removal_worker import REMOVAL, REMOVAL_KINDS, RemovalStatus, run_removal_job
    from preceptor.release.retraction import REBUILT_SUFFIX

__all__ = [
    "REBUILT_SUFFIX",
    "REMOVAL",
    "REMOVAL_KINDS",
    "GateCheck",
    "ModelCatalog",
    "OfferedModel",
    "RemovalStatus",
    "run_removal_job",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "gate": "GateCheck",
        "model_catalog": "ModelCatalog OfferedModel",
        "removal_worker": "REMOVAL REMOVAL_KINDS RemovalStatus run_removal_job",
        "retraction": "REBUILT_SUFFIX",
    },
)
