"""Offer other libraries' interfaces on top of Preceptor's methods."""
