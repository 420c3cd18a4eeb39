"""A web page for people: what happens to one request, and how the stack is.  Holds no weights; asks the others."""
