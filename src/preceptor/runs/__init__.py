"""Train, evaluate and compare a project's models."""
