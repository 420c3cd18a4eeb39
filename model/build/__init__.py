"""From a data set to a bundle: semantic ids, a trained network, fallback lists, metrics."""
