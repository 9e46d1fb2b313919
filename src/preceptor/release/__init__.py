"""Release models, trace what they were made from, and remove what they must forget."""
