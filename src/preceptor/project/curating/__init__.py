"""Training sets put together: curated by people, frozen as snapshots, and what they left out."""
