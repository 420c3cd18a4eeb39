"""Accepts what a shop tells: a request has begun, a user did something.  Computes nothing."""
