"""Does the loop learn?  A marketplace that changes its tastes in mid-run, met by several ways of keeping a model."""
