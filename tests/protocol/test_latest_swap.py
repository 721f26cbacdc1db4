"""The swap: nothing is guessed when a reply is lost, and a person's edit is never taken for our own."""

from __future__ import annotations

import pytest

from ckptptr.errors import (
    AccessDeniedError,
    ConflictError,
    OutcomeUnknownError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from ckptptr.protocol.latest import WRITES, Latest, Seen, Swap
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.sealed import seal
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Guarantee, Store, Token
from ckptptr.stores.wrappers.last_writer import LastWriterWins
from ckptptr.testing import Fault, FaultyStore
from tests.helpers import FakeClock, Interleaved

KEY = "b/run/LATEST"
OURS = "home/manifests/0000000002-a0000-ourownxy.json"
OLD = Pointer(target=Target(checkpoint="home/manifests/0000000001-a0000-oldoldxy.json", seq=1))
NEW = Pointer(target=Target(checkpoint=OURS, seq=2), history=(OLD.target,))
THEIRS = Pointer(target=Target(checkpoint="home/manifests/0000000003-a0000-theirsxy.json", seq=3))


class Scene:
    """LATEST says `OLD`; we swap it to `NEW` through a store with faults and other people."""

    def __init__(self, *faults: Fault, guarantee: Guarantee = Guarantee.COMPARE_AND_SWAP) -> None:
        self.clock = FakeClock()
        self.bucket = MemoryStore(guarantee)
        self.others = Latest(self.bucket, "b/run", self.clock, "others")
        self.others.swap(Seen(), OLD)
        self.watched = Interleaved(self.bucket)
        self.store = FaultyStore(self.watched, faults)  # type: ignore[arg-type]
        trusted = guarantee is Guarantee.COMPARE_AND_SWAP
        ours = self.store if trusted else LastWriterWins(self.store)
        self.ours = Latest(ours, "b/run", self.clock, "we")
        self.seen = self.ours.read()

    def swap(self, publishes: str = OURS) -> Swap:
        return self.ours.swap(self.seen, NEW, publishes=publishes)

    def target(self) -> str:
        pointer = self.others.read().pointer
        assert pointer is not None
        return pointer.target.checkpoint

    def others_write(self, pointer: Pointer) -> None:
        self.others.swap(self.others.read(), pointer)

    def person_edits(self) -> None:
        """Only `checkpoint`, so that our `write_id` stays."""
        body = self.bucket.read(KEY)[0].replace(OURS.encode(), THEIRS.target.checkpoint.encode(), 1)
        self.bucket.upload(KEY, [body])


def test_a_plain_yes_costs_one_request() -> None:
    scene = Scene()
    assert scene.swap().won
    assert [request.op for request in scene.store.log] == ["read", "replace"]
    assert scene.target() == OURS


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [StoreUnavailableError("timeout"), ConflictError("409")])
def test_a_lost_reply_is_read_back_and_the_swap_is_won(when: str, error: Exception) -> None:
    """Also a 409 with nothing changed, and a conflict with our own first write that a client repeated."""
    scene = Scene(Fault(when=when, op="replace", error=error))  # type: ignore[arg-type]
    swap = scene.swap()
    assert swap.won
    assert swap.seen == scene.ours.read()
    assert scene.target() == OURS


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_first_latest_of_a_node_is_created_whatever_becomes_of_the_reply(when: str) -> None:
    scene = Scene(Fault(when=when, op="create"))  # type: ignore[arg-type]
    scene.bucket.delete([KEY])
    assert scene.ours.swap(Seen(), NEW, publishes=OURS).won
    assert scene.target() == OURS


def test_a_real_conflict_is_lost_and_says_what_stands_there_now() -> None:
    scene = Scene()
    scene.watched.add("before", "replace", "", 1, lambda: scene.others_write(THEIRS))
    swap = scene.swap()
    assert not swap.won
    assert swap.seen == scene.ours.read()
    assert scene.target() == THEIRS.target.checkpoint


def test_a_latest_that_is_deleted_meanwhile_is_a_conflict() -> None:
    scene = Scene()
    scene.watched.add("before", "replace", "", 1, lambda: scene.bucket.delete([KEY]))
    swap = scene.swap()
    assert not swap.won
    assert swap.seen == Seen()


@pytest.mark.parametrize("error", [StoreUnavailableError("503"), AccessDeniedError("403")])
def test_where_the_read_back_fails_too_the_outcome_is_unknown(error: Exception) -> None:
    scene = Scene(Fault(when="after", op="replace"), Fault(op="read", nth=2, times=10, error=error))
    with pytest.raises(OutcomeUnknownError, match="it may name the new checkpoint"):
        scene.swap()


def test_a_write_that_others_have_built_on_meanwhile_is_known_by_the_checkpoint_it_published() -> None:
    scene = Scene(Fault(when="after", op="replace"))
    later = Pointer(target=THEIRS.target, history=(NEW.target, OLD.target))
    scene.watched.add("after", "replace", "", 1, lambda: scene.others_write(later))
    assert scene.swap().won
    assert scene.target() == THEIRS.target.checkpoint


def test_an_adopt_that_others_have_written_over_is_lost_although_they_name_its_target_too() -> None:
    scene = Scene(Fault(when="after", op="replace"))
    later = Pointer(target=THEIRS.target, history=(NEW.target, OLD.target))
    scene.watched.add("after", "replace", "", 1, lambda: scene.others_write(later))
    assert not scene.swap(publishes="").won


@pytest.mark.parametrize("error", [StoreUnavailableError("timeout"), ConflictError("409")])
def test_a_persons_edit_in_between_keeps_our_write_id_and_is_not_ours(error: Exception) -> None:
    scene = Scene(Fault(when="after", op="replace", error=error))
    scene.watched.add("after", "replace", "", 1, scene.person_edits)
    swap = scene.swap()
    assert not swap.won
    assert swap.seen.is_held
    assert scene.target() == THEIRS.target.checkpoint


def test_a_persons_edit_that_only_moves_us_to_the_history_is_not_ours() -> None:
    scene = Scene(Fault(when="after", op="replace"))

    def edit() -> None:
        body = scene.bucket.read(KEY)[0].decode()
        old = OLD.target.checkpoint
        swapped = body.replace(OURS, "X").replace(old, OURS).replace("X", old)
        scene.bucket.upload(KEY, [swapped.encode()])

    scene.watched.add("after", "replace", "", 1, edit)
    assert not scene.swap().won


def test_a_write_that_lands_late_is_not_written_twice() -> None:
    """The first try times out, is not there when read back, and lands before the second try."""
    scene = Scene()
    sent: list[tuple[str, bytes, Token]] = []

    class Slow(Interleaved):
        def replace(self, key: str, body: bytes, token: Token) -> Token:
            sent.append((key, body, token))
            if len(sent) == 1:
                raise StoreUnavailableError("timeout")
            if len(sent) == 2:
                self.inner.replace(*sent[0])
            return self.inner.replace(key, body, token)

    slow: Store = Slow(scene.bucket)  # type: ignore[assignment]
    swap = Latest(slow, "b/run", scene.clock, "we").swap(scene.seen, NEW, publishes=OURS)
    assert swap.won
    assert sent[0] == sent[1]
    assert scene.bucket.read(KEY)[0] == sent[0][1]


def test_a_store_that_never_answers_writes_is_unavailable_after_a_bounded_number_of_tries() -> None:
    scene = Scene(Fault(op="replace", times=100))
    with pytest.raises(StoreUnavailableError, match=f"could not be moved in {WRITES} tries"):
        scene.swap()
    assert scene.target() == OLD.target.checkpoint
    assert 0 < scene.clock.slept < 60


def test_a_refusal_is_raised_at_once() -> None:
    scene = Scene(Fault(op="replace", times=100, error=AccessDeniedError("no PutObject")))
    with pytest.raises(AccessDeniedError, match="no PutObject"):
        scene.swap()
    assert [request.op for request in scene.store.log] == ["read", "replace"]


def test_what_a_newer_version_has_written_meanwhile_is_not_overwritten() -> None:
    scene = Scene()
    newer = str(seal({"checkpoint": "x", "format": "ckptptr/2"})).replace("'", '"').encode()
    scene.watched.add("before", "replace", "", 1, lambda: scene.bucket.upload(KEY, [newer]))
    with pytest.raises(UnsupportedFormatError, match="Upgrade ckptptr"):
        scene.swap()
    assert scene.bucket.read(KEY)[0] == newer


# Without compare-and-swap


def test_without_compare_and_swap_it_is_read_before_and_after() -> None:
    scene = Scene(guarantee=Guarantee.LAST_WRITER_WINS)
    assert scene.swap().won
    assert [request.op for request in scene.store.log] == ["read", "read", "upload", "read"]


def test_without_compare_and_swap_what_others_wrote_before_is_a_conflict() -> None:
    scene = Scene(guarantee=Guarantee.LAST_WRITER_WINS)
    scene.others_write(THEIRS)
    assert not scene.swap().won
    assert scene.target() == THEIRS.target.checkpoint


def test_without_compare_and_swap_what_others_wrote_over_us_is_a_conflict() -> None:
    scene = Scene(guarantee=Guarantee.LAST_WRITER_WINS)
    scene.watched.add("after", "upload", "", 1, lambda: scene.others_write(THEIRS))
    assert not scene.swap().won
    assert scene.target() == THEIRS.target.checkpoint
