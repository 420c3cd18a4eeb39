"""Item features to codes, collisions settled, and the catalogue that maps items to codes and back.

features -> residual_kmeans | rqvae -> collisions -> catalog -> trie; `full_report` measures the result.  Import each
from its own file: `catalog` and `trie` serve requests and must not pull in scikit-learn; torch comes with training an
RQ-VAE and with a sentence encoder, and with nothing else.
"""
