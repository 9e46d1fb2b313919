"""Whole projects of other tools, moved in by one command: questions, guidelines, people, and all that was said."""

from preceptor.project.moving.moving import Moved, move
from preceptor.project.moving.sources import TOOLS

__all__ = ["TOOLS", "Moved", "move"]
