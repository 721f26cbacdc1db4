"""The store: what its conditional writes are worth, and uploads to it that were never finished."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ckptptr.cli.checks.finding import Check, Examined, note, ok
from ckptptr.cli.output import age_of
from ckptptr.clock import isoformat
from ckptptr.errors import CkptptrError, InvalidArgumentError
from ckptptr.inspect import shapes
from ckptptr.stores.port import Guarantee, HasUnfinished
from ckptptr.stores.wrappers.around import unwrap
from ckptptr.stores.wrappers.probe import SETTING, assumed
from ckptptr.transfer.pool import run_all
from ckptptr.wording import age


def guarantee(e: Examined) -> Iterator[shapes.Finding]:
    given = e.here.store.guarantee
    if given is Guarantee.COMPARE_AND_SWAP:
        yield ok("guarantee", "LATEST is moved by compare-and-swap here.")
    elif given is Guarantee.LAST_WRITER_WINS:
        yield note("guarantee", "Of two who write LATEST at once the last one wins here.")
    elif assumed() is not None:
        yield note("guarantee", f"A custom endpoint, taken for what {SETTING} says: {os.environ[SETTING]}.")
    else:
        yield note(
            "guarantee",
            "A custom endpoint: whether it keeps the promise of conditional writes is unproven. Each process"
            " that saves asks it, by writing; doctor changes nothing, and so did not ask."
            f" {SETTING} answers in its place.",
            e.here.url,
        )


def unfinished_uploads(e: Examined) -> Iterator[shapes.Finding]:
    store = unwrap(e.here.adapter, HasUnfinished)
    if store is None:
        return
    try:
        by_home = run_all(lambda home: [*store.unfinished(home)], e.here.node.own_homes())
        found = [upload for uploads in by_home for upload in uploads]
    except InvalidArgumentError:
        return  # a server without that request
    except CkptptrError as error:
        # Nobody needs that permission but for this.
        what = f"Whether uploads are unfinished below the homes could not be seen: {error.message}"
        yield note(
            "unfinished-uploads", f"{what}. {error.hint}" if error.hint else f"{what}.", error.key or None
        )
        return
    if found:
        oldest = min(found, key=lambda upload: upload.begun)
        passed = age_of(isoformat(oldest.begun), e.here.clock.now())
        since = f", the oldest begun {age(passed.total_seconds())}" if passed is not None else ""
        count = "1 multipart upload is" if len(found) == 1 else f"{len(found)} multipart uploads are"
        bucket, _, path = oldest.key.partition("/")
        yield note(
            "unfinished-uploads",
            f"{count} unfinished below the homes{since}: of saves that are running, or were killed. Their"
            " parts are paid for. A lifecycle rule (AbortIncompleteMultipartUpload) ends this for good.",
            e.here.store.url(oldest.key),
            f"aws s3api abort-multipart-upload --bucket {bucket} --key {path} --upload-id {oldest.upload_id}",
        )


CHECKS: tuple[Check, ...] = (guarantee, unfinished_uploads)
