"""`rankgr bench sids`: how long semantic ids take for a catalogue of any size, and how much memory."""
