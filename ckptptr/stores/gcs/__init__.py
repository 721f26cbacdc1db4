"""Google Cloud Storage, over gcsfs.

    store, upload            the adapter; one resumable upload
    client                   single requests to the JSON API, with the filesystem's session and credentials
    words                    Google's endpoints; what each status and reason means
    errors                   what the network and google-auth raise

May import aiohttp and google-auth, which gcsfs brings, the port, and what the adapters share.

The rule: an object is absent only once its bucket is known to exist.
"""
