"""Where else a run's metrics go: TensorBoard, MLflow, Weights & Biases, where the user has and asks for them."""

from __future__ import annotations

import os
from importlib.util import find_spec

from preceptor.errors import UserError
from preceptor.project.config import Training

VARIABLE = "PRECEPTOR_REPORT_TO"


def loggers(training: Training) -> tuple[str, ...]:
    """The loggers asked for, by the variable PRECEPTOR_REPORT_TO (names, commas) or else preceptor.toml; UserError where one is missing.

    TensorBoard's files go into the run's folder, and at the end into the model's, unless its own TENSORBOARD_LOGGING_DIR says
    otherwise; MLflow and Weights & Biases read their own variables, too.
    """
    asked = os.environ.get(VARIABLE)
    names = training.report_to if asked is None else _named(asked)
    for name in names:
        if find_spec(name) is None:
            raise UserError(f"metrics are to go to {name}, which isn't installed", f"pip install {name}, or leave it out of report_to")
    return names


def _named(asked: str) -> tuple[str, ...]:
    listed = [name.strip() for name in asked.split(",") if name.strip()]
    return Training.parse({"report_to": listed}, of=VARIABLE).report_to
