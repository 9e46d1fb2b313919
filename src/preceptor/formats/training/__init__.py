"""Read and write the files of model trainers: what a row teaches, and one module per format."""

from __future__ import annotations
