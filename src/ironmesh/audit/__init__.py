"""What happened that concerns security, in a log that shows every later change.

`events`, `chain` and `limit` are pure; `log` writes the file, `verify` checks it.
"""
