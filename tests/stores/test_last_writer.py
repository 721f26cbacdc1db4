"""Last writer wins: what a write finds when it reads back."""

from __future__ import annotations

import pytest

from ckptptr.errors import ConflictError
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Guarantee, Store
from ckptptr.stores.wrappers.last_writer import LastWriterWins
from tests.helpers import Interleaved


@pytest.mark.parametrize("op", ["create", "replace"])
def test_what_is_deleted_before_it_is_read_back_was_written(op: str) -> None:
    there = MemoryStore(Guarantee.LAST_WRITER_WINS)
    between = Interleaved(there)
    store: Store = LastWriterWins(between)  # type: ignore[arg-type]
    token = store.create("x", b"1") if op == "replace" else None
    between.add("after", "upload", "x", 1, lambda: there.delete(["x"]))
    token = store.create("x", b"2") if token is None else store.replace("x", b"2", token)
    with pytest.raises(ConflictError, match="gone"):
        store.replace("x", b"3", token)
    there.create("x", b"of another")
    with pytest.raises(ConflictError, match="another version"):
        store.replace("x", b"3", token)
