"""What spoils data before anyone trains on it: the same text twice, and test texts that training has seen."""

from preceptor.curation.duplicates import Clusters, Pair, near_duplicates
from preceptor.curation.leaks import GroupLeak, Leak, group_leaks, leaks
from preceptor.curation.shingles import exact_key

__all__ = ["Clusters", "GroupLeak", "Leak", "Pair", "exact_key", "group_leaks", "leaks", "near_duplicates"]
