"""What managers look at: items with their history, agreement, people's quality, pace and trends."""
