"""Read and write the files of annotation tools."""

from __future__ import annotations
