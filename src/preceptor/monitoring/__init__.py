"""Watch a model that serves: its responses, confidence, feedback and drift."""
