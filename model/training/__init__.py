"""Learning: samples from logs, the packed layout with its mask, the losses of RankGR, one step, the fit."""
