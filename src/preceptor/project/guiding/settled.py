"""Answers that somebody decided, put into a consensus that was fitted without them: of all else they say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from preceptor.aggregation.multilabel import MultilabelConsensus
from preceptor.domain import Composed, Consensus, Question
from preceptor.questions import kinds


def with_known(fitted: Consensus, question: Question, known: Mapping[str, Any]) -> Consensus:
    """The consensus with these answers (in their stored form, by item id) for certain, and all else as it is."""
    rows = {row: known[item] for row, item in enumerate(fitted.items) if item in known}
    if not rows:
        return fitted
    if isinstance(fitted, Composed):
        return _composed(fitted, rows)
    vote = kinds.get(question.kind).vote
    voted = {row: vote(question, answer) for row, answer in rows.items()}
    return _labelled(fitted, voted) if isinstance(fitted, MultilabelConsensus) else _chosen(fitted, voted)


def _chosen(fitted: Consensus, known: Mapping[int, Any]) -> Consensus:
    """One of the answers is right; a number is what the mean is, too."""
    place = {answer: column for column, answer in enumerate(fitted.answers)}
    posterior, change = fitted.posterior.copy(), dict[str, Any]()
    for row, answer in known.items():
        if answer in place:
            posterior[row] = 0.0
            posterior[row, place[answer]] = 1.0
    if fitted.value is not None and fitted.spread is not None:
        value, spread = fitted.value.copy(), fitted.spread.copy()
        for row, answer in known.items():
            if isinstance(answer, int | float):
                value[row], spread[row] = answer, 0.0
        change = {"value": value, "spread": spread}
    return replace(fitted, posterior=posterior, **change)


def _labelled(fitted: MultilabelConsensus, known: Mapping[int, Any]) -> MultilabelConsensus:
    """Each label applies or doesn't; a set that nobody gave joins the answers."""
    place = {frozenset(answer): column for column, answer in enumerate(fitted.answers)}
    new = list(dict.fromkeys(frozenset(answer) for answer in known.values() if frozenset(answer) not in place))
    place |= {answer: len(fitted.answers) + number for number, answer in enumerate(new)}
    answers = (*fitted.answers, *(tuple(label for label in fitted.labels if label in answer) for answer in new))
    posterior, applies = np.pad(fitted.posterior, ((0, 0), (0, len(new)))), fitted.applies.copy()
    for row, answer in known.items():
        posterior[row] = 0.0
        posterior[row, place[frozenset(answer)]] = 1.0
        applies[row] = [float(label in answer) for label in fitted.labels]
    return replace(fitted, answers=answers, posterior=posterior, applies=applies)


def _composed(fitted: Composed, known: Mapping[int, Any]) -> Composed:
    """What was composed is what is known."""
    posterior, composed = fitted.posterior.copy(), list(fitted.composed)
    for row, answer in known.items():
        posterior[row], composed[row] = (1.0, 0.0), answer
    return replace(fitted, posterior=posterior, composed=tuple(composed))
