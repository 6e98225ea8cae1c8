"""Sealing messages for a node that is not the next one: keys, parcels and their order. Pure."""
