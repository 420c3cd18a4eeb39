"""The whole stack on one machine, on embedded defaults: what `rankgr up` and `rankgr demo` run."""
