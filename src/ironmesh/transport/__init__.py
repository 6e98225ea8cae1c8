"""Moving bytes: each transport offers the same small `Connection` and `Listener`."""
