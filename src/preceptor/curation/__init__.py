"""What spoils data before anyone trains on it: the same text twice, texts of one template, test texts that training has seen.

Personal data is in `curation.personal`.
"""

from preceptor.curation.duplicates import Clusters, Pair, near_duplicates
from preceptor.curation.leaks import GroupLeak, Leak, group_leaks, leaks
from preceptor.curation.shingles import exact_key
from preceptor.curation.templates import Template, TemplateLeak, template_leaks, templates

__all__ = [
    "Clusters",
    "GroupLeak",
    "Leak",
    "Pair",
    "Template",
    "TemplateLeak",
    "exact_key",
    "group_leaks",
    "leaks",
    "near_duplicates",
    "template_leaks",
    "templates",
]
