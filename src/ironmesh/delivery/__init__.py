"""The promise: outbox and inbox as state machines."""
