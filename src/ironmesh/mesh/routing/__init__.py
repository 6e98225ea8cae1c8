"""Routes of our own wire: distance vector with Babel's feasibility condition (RFC 8966). Pure."""
