"""Read and write the files that trainers and fine-tuning services take."""

from __future__ import annotations
