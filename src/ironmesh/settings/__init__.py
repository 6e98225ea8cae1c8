"""Every setting of a node, defined once: from flags, environment and files to a `NodeConfig`."""
