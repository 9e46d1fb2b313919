"""Whom to ask about an item: the person whose answer tells most."""

from __future__ import annotations

import numpy as np

from preceptor.domain.results import FloatArray

DOUBT = 0.1  # share of a flat posterior mixed in: what looks certain from few judgments isn't


def information(posterior: FloatArray, confusion: FloatArray) -> FloatArray:
    """Mutual information, in nats, between an item's answer and what one person would say: (pairs,).

    posterior: of the item, (pairs, answers). confusion: of the person, (pairs, answers, answers), row k when the answer
    is k. H(q) − Σ_k T_k H(θ[k]), q = T θ; it is concave in the posterior, so unlike the expected gain in accuracy it
    isn't zero where a single answer can't turn the majority.
    """
    flat = (1 - DOUBT) * posterior + DOUBT / posterior.shape[1]
    table = np.clip(confusion, 1e-9, 1.0)
    said = np.einsum("mk,mkl->ml", flat, table)
    noise = -(table * np.log(table)).sum(axis=2)
    return np.asarray(-(said * np.log(said)).sum(axis=1) - (flat * noise).sum(axis=1), dtype=np.float64)
