"""The parts of `self_train`: which texts it reads, which pseudo-labels it trusts, what its student doesn't see, whom it asks, its guard."""
