"""What users do becomes session samples: one per request, once its clicks and purchases have had their time.

Called by services/samples on the stream, and by whoever replays a log in event time.  No clock, no I/O, no numpy.
"""
