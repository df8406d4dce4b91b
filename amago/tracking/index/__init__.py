"""The index of a record: `tracking.db`, a SQLite file built from the `*.jsonl` by whoever reads.

It exists so that one metric of a long run is read without the others. Deleting it loses nothing.
`schema.py` says what is in it and how to read it with plain `sqlite3`.
"""
