"""Every registered aggregator keeps the contract."""

import pytest

from preceptor.aggregation import aggregators
from preceptor.testing import AGGREGATOR_CHECKS

NUMERIC = {"rating"}  # takes numbers, not labels: another contract


@pytest.mark.parametrize("check", AGGREGATOR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(set(aggregators.names()) - NUMERIC))
def test_aggregator_contract(name, check):
    check(aggregators.get(name))
