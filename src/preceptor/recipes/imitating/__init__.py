"""DAgger with a model that writes: what it says, which of it experts are asked about, what is learnt of a correction, what it brought."""
