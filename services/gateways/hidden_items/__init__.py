"""Items that may not be served, from whatever list or cache."""
