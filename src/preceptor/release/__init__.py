"""Release models, trace what they were made from, and take back what they must forget."""
