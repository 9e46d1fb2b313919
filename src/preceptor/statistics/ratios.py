"""A rate of parts in wholes that people checked whole: unsupported claims in responses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.statistics.inputs import as_values, check_confidence
from preceptor.statistics.intervals import UNIT_RANGE, bounded_mean, clustered_proportion
from preceptor.statistics.labels_alone import SHARE, UNIT, labels_alone
from preceptor.statistics.prediction_powered import LEAST_RARER, checked, from_sums, no_judge, shared_clusters, too_few
from preceptor.statistics.rectified import Side


def ppi_ratio(
    human: ArrayLike,
    claims: ArrayLike,
    judge_on_human: ArrayLike,
    judge_on_rest: ArrayLike,
    claims_on_rest: ArrayLike,
    confidence: float = 0.95,
    *,
    clusters_on_human: Any = None,
    clusters_on_rest: Any = None,
) -> Estimate:
    """R = ΣU/ΣC, the rate per claim that people would find in all responses, from some that they checked and a judge's word on all.

    human: unsupported claims U of each checked response, (n,); the checked ones are a *random* part of the responses. claims:
    their claims C. judge_on_human, judge_on_rest: the sum of the judge's scores over a response's claims, in [0, C].
    claims_on_rest: claims of the responses that only the judge saw, (N,). clusters: what several responses belong to (a prompt).

    Residuals are summed by response (or cluster) and the variance is the jackknife of the ratio; the interval lies in [0, 1], its
    shape and its care with small counts are those of `ppi_mean`. Responses without a claim say nothing of a rate per claim and are
    left out. n counts responses (clusters).
    """
    check_confidence(confidence)
    u, f, rest = checked(human, judge_on_human, judge_on_rest)
    c = _counts(claims, u, "claims")
    rest_c = _counts(claims_on_rest, rest, "claims_on_rest") if len(rest) else rest
    for sums, of, name in ((u, c, "human"), (f, c, "judge_on_human"), (rest, rest_c, "judge_on_rest")):
        _within(sums, of, name)
    here, there = shared_clusters(clusters_on_human, clusters_on_rest, len(u), len(rest))
    totals, sizes, on_human = _summed(u, f, c, here)
    _, _, on_rest = _summed(rest, rest, rest_c, there)
    reason = no_judge(on_human.totals / sizes, on_rest.totals / on_rest.sizes) if len(on_rest.sizes) else no_judge(u, rest[:0])
    kind = SHARE if (u == np.floor(u)).all() else UNIT
    alone = labels_alone(totals, sizes, kind, confidence)
    if not reason and alone.rarer < LEAST_RARER:
        reason = too_few(alone.rarer)
    if reason:
        people = _alone(totals, sizes, kind, confidence)
        return replace(people, method=f"{people.method} on human labels alone ({reason})")
    return from_sums(alone, totals, on_human, on_rest, confidence)


def _alone(totals: FloatArray, sizes: FloatArray, kind: str, confidence: float) -> Estimate:
    if kind == SHARE:
        return clustered_proportion(totals, sizes, confidence=confidence)
    plain = Estimate(float(totals.sum() / sizes.sum()), -np.inf, np.inf, len(sizes), "", confidence)
    return bounded_mean(totals, sizes, UNIT_RANGE, plain)


def _counts(claims: ArrayLike, beside: FloatArray, name: str) -> FloatArray:
    column = as_values(claims, name, low=0)
    if len(column) != len(beside):
        raise UserError(f"{len(column)} counts of claims for {len(beside)} responses", "pass one count a response", where=name)
    whole = column == np.floor(column)
    if not whole.all():
        first = int((~whole).argmax())
        raise UserError(f"{column[first]:g} is not a number of claims", "pass whole numbers", where=f"{name}[{first}]")
    if not column.any():
        raise UserError("no response has a claim: there is no rate per claim", "report the rate per response", where=name)
    return column


def _within(sums: FloatArray, claims: FloatArray, name: str) -> None:
    wrong = (sums < 0) | (sums > claims + 1e-9)
    if wrong.any():
        first = int(wrong.argmax())
        raise UserError(f"{sums[first]:g} of {claims[first]:g} claims", "sums lie between 0 and the claims", where=f"{name}[{first}]")


def _summed(u: FloatArray, f: FloatArray, claims: FloatArray, codes: Any) -> tuple[FloatArray, FloatArray, Side]:
    """Sums of labels, claims and the judge's side by response or cluster, of those that have claims."""
    keep = claims > 0
    if codes is None:
        return u[keep], claims[keep], Side(f[keep], claims[keep])
    names = np.flatnonzero(np.bincount(codes, weights=claims))
    totals, sizes, judged = (np.bincount(codes, weights=column)[names].astype(np.float64) for column in (u, claims, f))
    return totals, sizes, Side(judged, sizes, names)
