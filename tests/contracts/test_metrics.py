"""Every registered metric keeps the contract."""

from __future__ import annotations

import pytest

from preceptor.evaluation.metrics.metric import metrics
from preceptor.testing import METRIC_CHECKS


@pytest.mark.parametrize("name", metrics.names())
def test_metric_contract(name, subtests):
    for check in METRIC_CHECKS:
        with subtests.test(check=check.__name__):
            check(metrics.get(name))
