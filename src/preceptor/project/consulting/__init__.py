"""What a run may ask of its project while it trains: items that nobody has judged, people's word, a held-out judge's measure.

Recipes know none of this; they find functions in their run (`preceptor.recipes.consulting`), which are made here.
"""

from preceptor.project.consulting.consultants import Consultants, Wishes, consulted
from preceptor.project.consulting.unjudged import has_come_since, unlabelled_now
from preceptor.project.consulting.waiting import WaitsForPeople

__all__ = ["Consultants", "WaitsForPeople", "Wishes", "consulted", "has_come_since", "unlabelled_now"]
