"""How good a list is: hit rate and NDCG over the full catalogue, next to popularity."""
