"""`rankgr bench join`: how many interactions the join of sessions takes on one core, and what open sessions cost."""
