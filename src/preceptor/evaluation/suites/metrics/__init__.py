"""Metrics of written answers, one family a file; other packages add theirs by the entry-point group `preceptor.metrics`."""
