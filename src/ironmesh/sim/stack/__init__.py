"""Whole node cores in a simulated mesh: routes, records, parcels, outbox, inbox, crashing stores.

What is left out is what stands around the cores: sockets, and the encryption of a session between
neighbours, which the tests of `session` show. A message to a neighbour is handed over as it is.
"""
