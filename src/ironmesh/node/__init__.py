"""One running node: the composition root, its pipelines and its live links."""
