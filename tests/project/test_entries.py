"""Small values as people and programs give them."""

from __future__ import annotations

import pytest

from preceptor.annotation.row_parser import check_annotator_name
from preceptor.errors import UserError


@pytest.mark.parametrize("name", ["ann", "7", "é 😀"])
def test_a_name_is_kept_as_it_is(name):
    assert check_annotator_name(name) == name


@pytest.mark.parametrize("name", ["", " ", None, True, 1.5, 7, ["ann"], "a\0b", "\ud800"])
def test_what_is_no_name_or_cannot_be_stored_is_refused(name):
    with pytest.raises(UserError, match="needs a name"):
        check_annotator_name(name)
