"""Policies: what answers must hold to, as rules in a file that whoever answers for it can read; one kind of rule's detection a file."""
