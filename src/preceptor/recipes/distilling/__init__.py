"""A student that follows its teacher on what it writes itself: how far apart the two are, whom it can follow, what is taught."""
