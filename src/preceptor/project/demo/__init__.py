"""The whole loop on recorded judgments."""
