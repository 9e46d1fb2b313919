from __future__ import annotations

import numpy as np

from preceptor.planning.query_selection import k_means, nearest_center


def test_finds_groups_that_lie_apart():
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(5), [200, 20, 50, 9, 120])
    where = np.array([[0, 0], [9, 0], [0, 9], [9, 9], [20, 20]])
    points = where[truth] + random.normal(size=(len(truth), 2))
    found = [nearest_center(points, k_means(points, 5, np.random.default_rng(seed))) for seed in range(10)]
    best, _ = min(found, key=lambda member_and_distance: member_and_distance[1].sum())
    pairs = {(int(one), int(other)) for one, other in zip(truth, best, strict=True)}
    assert len(pairs) == 5


def test_nearest_equals_all_distances():
    random = np.random.default_rng(1)
    points, centres = random.normal(size=(9000, 3)), random.normal(size=(7, 3))
    table = np.square(points[:, None] - centres).sum(axis=2)
    member, distance = nearest_center(points, centres)
    assert (member == table.argmin(axis=1)).all()
    assert np.allclose(distance, table.min(axis=1))


def test_points_that_coincide_make_fewer_centres():
    points = np.repeat([[0.0, 1.0], [2.0, 3.0]], 10, axis=0)
    assert sorted(map(tuple, k_means(points, 5, np.random.default_rng(0)))) == [(0.0, 1.0), (2.0, 3.0)]
