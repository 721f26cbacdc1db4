"""Payload on its way between this machine and a store.

`plan` says what there is to move; `upload` (with `pace`), `download` (with `staging`) and `copy` move whole
files, `reader` and `writer` parts of one; `verify` digests what is stored; `pool` runs the work in parallel.
May import the port of the stores, lifetime, and of the protocol the file records and names; nothing that
moves LATEST.

The rule: a byte counts as moved when its digest, or the store's checksum, proves it.
"""
