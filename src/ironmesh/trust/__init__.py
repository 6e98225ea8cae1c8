"""Who may be who: keys pinned on first use, names bound to keys, revocations; kept in one file.

`pins`, `names`, `book`, `capabilities`, `downgrade`, `fingerprint` and `published` are pure; `file`
and `store` do the I/O.
"""
