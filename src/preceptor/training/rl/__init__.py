"""Train a policy by reinforcement learning from rewards."""

from __future__ import annotations
