"""Words that every part of the stack shares: ids, messages, candidate sets, errors.

Pydantic and the standard library only; nothing here does I/O.  Read `ids`, then `messages`, then `errors`.
"""
