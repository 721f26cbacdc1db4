"""Azure Blob Storage, over adlfs.

    store, upload, copy      the adapter; one upload in blocks; one copy, and the wait for it
    client                   single requests, through the SDK's client below the filesystem
    words                    Azure's endpoints; what each error code means
    errors                   what the SDK raises

May import Azure's SDK, which adlfs brings, the port, and what the adapters share.

The rule: what Azure does in its own time is awaited, and its status is checked, before anything relies on it.
"""
