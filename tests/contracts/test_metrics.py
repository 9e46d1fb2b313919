"""Every registered metric keeps the contract."""

from __future__ import annotations

import pytest

from preceptor.evaluation.metrics.metric import metrics
from preceptor.testing import METRIC_CHECKS


@pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", metrics.names())
def test_metric_contract(name, check):
    check(metrics.get(name))
