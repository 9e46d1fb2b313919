"""Find what spoils a data set before training: duplicates, texts of one template, and test texts leaked into training.

Personal data is in `preceptor.quality.pii`.
"""

from __future__ import annotations

from preceptor.quality.duplicates import DuplicateClusters, DuplicatePair, exact_key, find_near_duplicates
from preceptor.quality.leakage import (
    GroupLeak,
    TemplateLeak,
    TextLeak,
    TextTemplate,
    find_group_leaks,
    find_leaks,
    find_template_leaks,
    find_templates,
)

__all__ = [
    "DuplicateClusters",
    "DuplicatePair",
    "GroupLeak",
    "TemplateLeak",
    "TextLeak",
    "TextTemplate",
    "exact_key",
    "find_group_leaks",
    "find_leaks",
    "find_near_duplicates",
    "find_template_leaks",
    "find_templates",
]
