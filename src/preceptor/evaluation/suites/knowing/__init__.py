"""Whether a model knows what it doesn't know: errors among the answers of which it is surest, and whether it says so in words."""
