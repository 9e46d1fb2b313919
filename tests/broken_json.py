"""JSON values broken at any place, for property tests of what reads them."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

WRONG = st.sampled_from([None, True, 0, -1, 10**30, 1.5, "", "x", "💩", "\u2028", [], [None], [[]], ["x"], {}, {"x": None}])


def places(value, path=()):
    """The path of every value inside a value."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def replaced(value, path, new):
    """The value with another one at a path."""
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def broken(value, data, *, least=0, most, wrong=WRONG):
    """The value with something wrong at some of its places, as Hypothesis draws them."""
    for _ in range(data.draw(st.integers(least, most))):
        if known := list(places(value)):
            value = replaced(value, data.draw(st.sampled_from(known)), data.draw(wrong))
    return value
