"""Questions with sources, of which some bear the answer out and others only look as if: rows that `raft` trains on."""
