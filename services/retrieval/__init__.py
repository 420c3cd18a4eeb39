"""Serves stored candidates, page after page, and always answers.  Computes no recommendation."""
