"""Many nodes in one process under a virtual clock: one seed makes one run. Pure."""
