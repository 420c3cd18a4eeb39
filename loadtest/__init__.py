"""Load on a running stack, as a shop makes it: page views over HTTP, budgets that a run keeps or breaks."""
