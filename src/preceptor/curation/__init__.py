"""What spoils data before anyone trains on it: the same text twice, and test texts that training has seen."""

from preceptor.curation.duplicates import Clusters, Pair, near_duplicates
from preceptor.curation.leaks import Leak, leaks
from preceptor.curation.shingles import exact_key

__all__ = ["Clusters", "Leak", "Pair", "exact_key", "leaks", "near_duplicates"]
