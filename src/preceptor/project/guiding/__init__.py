"""Who is asked what next, what people agree on, and when an item has judgments enough."""
