"""What answers may rest on: documents added, indexed, found, and laid before a model."""
