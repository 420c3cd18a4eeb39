"""Benchmarks: one folder per part that is measured.  They drive the processes' own code and serve nobody."""
