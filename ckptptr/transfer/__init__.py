"""Moving payload between this machine and a store: correct first.

`plan` says what there is to move, `upload`, `download` and `copy` move it, `pool` runs the work in
parallel, `digest` makes sure. They know the store port and nothing of the protocol.
"""
