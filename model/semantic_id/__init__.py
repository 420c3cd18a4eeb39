"""Item features to codes, collisions settled, and the catalogue that maps items to codes and back (no torch).

features -> residual_kmeans -> collisions -> catalog -> trie; `report` measures the result.  Import each from
its own file: `catalog` and `trie` serve requests and must not pull in scikit-learn.
"""
