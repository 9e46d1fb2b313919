"""Turn the whole loop: the demo, the quick start, one cycle, and the move from other tools."""
