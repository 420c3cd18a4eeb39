"""Simple methods that a learnt model has to beat: fitted on the same training rows, measured on the same users."""
