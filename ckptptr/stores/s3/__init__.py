"""Amazon S3 and what speaks its language, over s3fs.

    store, upload            the adapter; one multipart upload
    client                   single requests, through the botocore client below the filesystem
    words                    Amazon's endpoints; what each error code means
    errors                   what the SDK raises

May import s3fs's own SDK (botocore), the port, and what the adapters share.

The rule: every method is one request where S3 allows it; of a server that is not Amazon's nothing is assumed.
"""
