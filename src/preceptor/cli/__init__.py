"""The command line: each command thin over one library call."""
