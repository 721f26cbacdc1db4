"""The store: whether it supports conditional writes, and its unfinished uploads."""

from __future__ import annotations

from collections.abc import Iterator

from ckptptr.cli.checks.finding import Check, Examined, note, ok
from ckptptr.clock import isoformat
from ckptptr.errors import CkptptrError, InvalidArgumentError
from ckptptr.inspect import shapes
from ckptptr.settings import GUARANTEE
from ckptptr.stores.port import Guarantee, HasUnfinished
from ckptptr.stores.wrappers.around import unwrap
from ckptptr.stores.wrappers.probe import assumed
from ckptptr.transfer.pool import run_all
from ckptptr.wording import ago


def guarantee(e: Examined) -> Iterator[shapes.Finding]:
    given = e.here.store.guarantee
    if given is Guarantee.COMPARE_AND_SWAP:
        yield ok("guarantee", "The store moves LATEST by compare-and-swap.")
    elif given is Guarantee.LAST_WRITER_WINS:
        yield note(
            "guarantee",
            "This store has no compare-and-swap: of two that write LATEST at once, the last one wins.",
        )
    elif (told := assumed()) is not None:
        yield note("guarantee", f"A custom endpoint. {GUARANTEE.name} says what it supports: {told.value}.")
    else:
        yield note(
            "guarantee",
            "A custom endpoint. It is unknown whether it supports conditional writes: each process that saves"
            f" tests that by writing, and doctor never writes. Set {GUARANTEE.name} if you know the answer.",
            e.here.url,
        )


def unfinished_uploads(e: Examined) -> Iterator[shapes.Finding]:
    store = unwrap(e.here.adapter, HasUnfinished)
    if store is None:
        return
    try:
        by_home = run_all(lambda home: [*store.unfinished(home)], e.here.node.own_homes(e.here.store))
        found = [upload for uploads in by_home for upload in uploads]
    except InvalidArgumentError:
        return  # this server has no such request
    except CkptptrError as error:
        # Only this check needs that permission.
        what = f"Unfinished uploads below the homes cannot be listed: {error.message}"
        yield note(
            "unfinished-uploads", f"{what}. {error.hint}" if error.hint else f"{what}.", error.key or None
        )
        return
    if found:
        oldest = min(found, key=lambda upload: upload.begun)
        since = f", the oldest begun {ago(isoformat(oldest.begun), e.here.clock.now())}"
        count = "1 multipart upload is" if len(found) == 1 else f"{len(found)} multipart uploads are"
        bucket, _, path = oldest.key.partition("/")
        yield note(
            "unfinished-uploads",
            f"{count} unfinished below the homes{since}: from saves that run now, or were killed. Their parts"
            " cost money. A lifecycle rule (AbortIncompleteMultipartUpload) deletes them in future.",
            e.here.store.url(oldest.key),
            f"aws s3api abort-multipart-upload --bucket {bucket} --key {path} --upload-id {oldest.upload_id}",
        )


CHECKS: tuple[Check, ...] = (guarantee, unfinished_uploads)
