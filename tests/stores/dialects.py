"""How each cloud words its refusals, for `FaultConformance`."""

from __future__ import annotations

from dataclasses import replace
from xml.sax.saxutils import escape

from ckptptr.testing.conformance.faults import Dialect
from tests.servers.gcs import refused

SAID = "because of <a rule>?sig=hush"


def document(code: str) -> str:
    """An error of S3 or Azure, or of Google's XML API, that says why."""
    return f"<Error><Code>{code}</Code><Message>{escape(SAID)}</Message></Error>"


S3 = Dialect(
    denied={"status": 403, "code": "AccessDenied"},
    busy={"status": 503, "code": "SlowDown"},
    conflicts=[
        {"status": 409, "code": "ConditionalRequestConflict"},
        {"status": 412, "code": "PreconditionFailed"},
    ],
    permissions={
        "read": "s3:GetObject",
        "download": "s3:GetObject",
        "create": "s3:PutObject",
        "replace": "s3:PutObject",
        "upload": "s3:PutObject",
        "large upload": "s3:PutObject",
        "list": "s3:ListBucket",
        "delete": "s3:DeleteObject",
        "copy": "s3:GetObject",
    },
    no_bucket="bucket does not exist",
    write={"method": "PUT"},
    part={"method": "PUT", "path": "partNumber"},
    hidden="Without s3:ListBucket",
    absent={"status": 404, "code": "NoSuchKey"},
    explained={"status": 403, "code": "AccessDenied", "body": document("AccessDenied")},
)

GCS = Dialect(
    denied={"status": 403, "body": refused(403, "forbidden").body},
    busy={"status": 503, "body": refused(503, "backendError").body},
    conflicts=[{"status": 412, "body": refused(412, "conditionNotMet").body}],
    permissions={
        "read": r"storage\.objects\.get",
        "download": r"storage\.objects\.get",
        "create": r"storage\.objects\.create",
        "replace": r"storage\.objects\.delete",
        "upload": r"storage\.objects\.create",
        "large upload": r"storage\.objects\.create",
        "list": r"storage\.objects\.list",
        "delete": r"storage\.objects\.delete",
        "copy": r"storage\.objects\.get",
    },
    no_bucket="bucket does not exist",
    write={"method": "POST"},
    part={"method": "PUT"},
    hidden=r"Without storage\.objects\.list",
    explained={"status": 403, "body": refused(403, "forbidden", said=SAID).body},
)

GCS_XML = replace(
    GCS,
    denied={"status": 403, "code": "AccessDenied"},
    busy={"status": 503, "code": "ServiceUnavailable"},
    conflicts=[{"status": 412, "code": "PreconditionFailed"}],
    write={"method": "PUT"},
    part={"method": "PUT", "path": "partNumber"},
    absent={"status": 404, "code": "NoSuchKey"},
    explained={"status": 403, "body": document("AccessDenied")},
)
"""In the API that obstore uses."""

AZURE = Dialect(
    denied={"status": 403, "code": "AuthorizationPermissionMismatch"},
    busy={"status": 503, "code": "ServerBusy"},
    conflicts=[
        {"status": 409, "code": "BlobAlreadyExists"},
        {"status": 412, "code": "ConditionNotMet"},
    ],
    permissions={
        "read": "Grant Microsoft.Storage/.*blobs/read",
        "download": "Grant Microsoft.Storage/.*blobs/read",
        "create": "Grant Microsoft.Storage/.*blobs/write",
        "replace": "Grant Microsoft.Storage/.*blobs/write",
        "upload": "Grant Microsoft.Storage/.*blobs/write",
        "large upload": "Grant Microsoft.Storage/.*blobs/write",
        "list": "Grant Microsoft.Storage/.*blobs/read",
        "delete": "Grant Microsoft.Storage/.*blobs/delete",
        "copy": "Grant Microsoft.Storage/.*blobs/read on the source and .*blobs/write",
    },
    no_bucket="container does not exist",
    write={"method": "PUT"},
    part={"method": "PUT", "path": "comp=block&"},
    absent={"status": 404, "code": "BlobNotFound"},
    explained={"status": 403, "code": "AuthorizationFailure", "body": document("AuthorizationFailure")},
)
