"""The processes.  Each folder is one process; processes never import each other, they meet in `gateways`."""
