"""Judge models: they score many cases cheaply, and people's labels say what that is worth."""
