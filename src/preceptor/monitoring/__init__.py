"""Monitor served models: their responses, confidence, feedback and drift."""
