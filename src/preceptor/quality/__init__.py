"""What spoils data before anyone trains on it: the same text twice, texts of one template, test texts that training has seen.

Personal data is in `curation.personal`.
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
