"""One turn of the loop, for a timer: from what people said since the last one to a model that waits for a person's decision."""

from preceptor.project.cycling.turns import Plan, Turned, turn

__all__ = ["Plan", "Turned", "turn"]
