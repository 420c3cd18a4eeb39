"""Learning from session samples as they come: the pure core of the trainer, without a stream, a store or a clock.

services/trainer feeds it from a topic, `rankgr train --stream-from` from a Parquet log; both learn the same from the
same samples, and what was killed goes on as if nothing had happened.
"""
