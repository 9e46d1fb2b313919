"""Learning from preferences: pairs of answers out of people's comparisons and corrections, their losses, and what is told of them."""
