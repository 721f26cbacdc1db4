"""Where bytes live: one small port, and an adapter for each kind of store.

    port                         the nine calls and their promises; `StoreConformance` checks them
    open, urls                   from a URL to a store
    local, memory                a disk; a dictionary
    s3, gcs, azure               over fsspec's filesystems: the plain way, with the user's own settings
    obstore                      over obstore (Rust): the fast way
    wrappers                     stores around stores: retries, a stop, a probe
    line, capacity               how much goes out at once, and when an upload is overdue
    sdk, in_flight, room, said   what the clouds' adapters share
    emptied                      the folders that deleted payload leaves empty

May import the clock, the errors and the settings: nothing of the protocol.

The rule: an error's code decides what it means, in one table for each cloud, and no message shows a secret.
"""
