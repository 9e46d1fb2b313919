"""Every registered aggregator of labels keeps the contract."""

import pytest

from preceptor.consensus import aggregators
from preceptor.testing import AGGREGATOR_CHECKS

NUMERIC = {"rating"}  # takes numbers only: another contract
COMPOSED = {"rank", "similar", "spans", "claims"}  # make answers of their own: see test_kinds
# in the precision of a bias they take one person's several rows about an item for several people's: 0.001 of a probability
ROWS_APART = {"ordinal", "continuous"}


@pytest.mark.parametrize("name", sorted(set(aggregators.names()) - NUMERIC - COMPOSED))
def test_aggregator_contract(name, subtests):
    for check in AGGREGATOR_CHECKS:
        if not (name in ROWS_APART and check.__name__ == "doubled_rows_change_nothing"):
            with subtests.test(check=check.__name__):
                check(aggregators.get(name))
