"""Tables of many trainings and measurements: variants and seeds are cells, kept on disk, so that a table goes on."""
