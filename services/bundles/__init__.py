"""What is done with published bundles: promote, roll back, follow.  Processes and the command line use it."""
