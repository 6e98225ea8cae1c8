"""What happened that concerns security, in a log that shows every later change.

`events`, `chain` and `limit` are pure; `log` writes and verifies the file.
"""
