"""Where published bundles are kept, and which of them is served."""
