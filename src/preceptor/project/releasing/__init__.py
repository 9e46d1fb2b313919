"""What may be served: the gate, what evidence it lacks, and a named person's decision."""
