"""Offer other libraries' interfaces over the same methods."""
