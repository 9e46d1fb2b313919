"""A person's judgments taken out of everything, and what rested on them made again."""
