"""Read and write the exports of annotation tools, one format per tool."""

from __future__ import annotations
