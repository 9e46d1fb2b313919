"""Hold a project's documents, and ground answers in them."""
