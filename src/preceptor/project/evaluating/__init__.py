"""Models measured on rows that they never saw, by what they answer; beside baselines and each other."""
