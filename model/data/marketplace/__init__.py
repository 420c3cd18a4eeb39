"""A marketplace that does not exist: its goods, its shoppers and what they do, from one seed.

`model.data.synthetic` puts the parts together.  No clock, no file, no chance but the generator passed in.
"""
