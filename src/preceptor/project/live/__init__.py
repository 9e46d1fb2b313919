"""What is served and what comes of it: aliases, confidence, people's answers, feedback, drift."""
