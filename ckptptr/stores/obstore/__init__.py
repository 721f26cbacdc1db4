"""obstore (Rust): all calls of the port, and the fast lane that lets it move payload only.

    store                    the adapter; its clients come from a lender
    feed, watch              how blocks get to the threads of obstore, and who waits for their arrival
    fast                     control objects by the filesystem's adapter, payload by obstore's
    lending                  what a lender is; the engine's switch; what obstore's errors say
    clouds                   what each cloud is like through obstore
    lend_s3, lend_gcs, lend_azure        lend endpoint and credentials of an fsspec filesystem
    configured               clients from obstore's own settings, without a filesystem

May import obstore when it makes a store, never when a module is imported: obstore needs Python 3.11.

The rule: where there is a filesystem, obstore resolves no credentials and no endpoint itself. Only the
store's own words prove absence.
"""
