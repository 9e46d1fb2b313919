"""How probably a model's answer is right, and from which answers on people give them in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.store import live_settings

if TYPE_CHECKING:
    from preceptor.project.project import Project


def confidence_of(project: Project, model: str, log_probabilities: Sequence[float]) -> float | None:
    """The calibrated probability that an answer is right, from the log-probabilities (nats) of its own tokens as they were drawn.

    Of a model that chooses among answers: from the one log-probability of its choice. None where nothing calibrates the model
    (`preceptor calibrate MODEL` does), or there is no token: a call that asks for a `min_confidence` is then refused.
    """
    return None


def threshold_of(project: Project, model: str, alias: str = "") -> float | None:
    """The confidence below which people answer in a model's place, as a manager chose it: for the alias by which it was called, else
    for the model. None where nobody chose: then no answer is deferred unless the call says so."""
    with project.database.reading() as connection:
        for name in filter(None, (alias, model)):
            if (found := live_settings.get(connection, "threshold", name)) is not None:
                return float(found["threshold"])
    return None
