from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from ckptptr.stores.in_flight import begun
from ckptptr.stores.line import Line
from ckptptr.stores.room import MOST, Room

SIZE = 16 * MOST


def waits_for(room: Room, size: int) -> threading.Thread:
    thread = threading.Thread(target=room.take, args=(size,))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    return thread


def test_what_is_under_way_never_takes_more_than_there_is() -> None:
    room = Room(SIZE)
    room.take(SIZE // 2)
    room.take(SIZE // 2 - 20)
    thread = waits_for(room, 30)
    room.give(SIZE // 2)
    thread.join(5)
    assert not thread.is_alive()


def test_what_is_larger_than_all_of_it_goes_alone_and_not_never() -> None:
    room = Room(SIZE)
    with room.taken(SIZE * 9):
        thread = waits_for(room, 1)
    thread.join(5)
    assert not thread.is_alive()


def test_however_small_they_are_only_so_many_go_at_once() -> None:
    room = Room(SIZE)
    for _ in range(MOST):
        room.take(0)
    thread = waits_for(room, 1)
    room.give(0)
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "ends", [lambda t: t.set_result(None), lambda t: t.set_exception(OSError()), Future.cancel]
)
def test_room_is_given_back_however_a_transfer_ends(ends: object) -> None:
    room, transfer = Room(SIZE), Future[None]()
    begun(lambda: transfer, SIZE, room)
    thread = waits_for(room, 1)
    ends(transfer)  # type: ignore[operator]
    thread.join(5)
    assert not thread.is_alive()


class Interrupted(Line):
    """A line at which the one who waits presses Ctrl-C."""

    def take(self, *_: int) -> int:
        raise KeyboardInterrupt


def never_begins() -> Future[None]:
    raise KeyboardInterrupt


@pytest.mark.parametrize("line", [Line(1.0), Interrupted(1.0)])
def test_room_is_given_back_if_a_transfer_never_begins(line: Line) -> None:
    room = Room(SIZE)
    for _ in range(2):
        uploads = threading.Thread(
            target=pytest.raises, args=(KeyboardInterrupt, begun, never_begins, SIZE, room, line), daemon=True
        )
        uploads.start()
        uploads.join(5)
        assert not uploads.is_alive()
    assert line.under_way == 0


def test_uploads_share_the_blocks_in_flight() -> None:
    room = Room(SIZE)
    with room.some_taken(SIZE // 16, 6) as first, room.some_taken(SIZE // 16, 99) as second:
        assert (first, second) == (6, 10)
    with room.some_taken(SIZE // 16, 99) as all_of_them:
        assert all_of_them == 16


def test_an_upload_waits_rather_than_go_on_very_few_blocks() -> None:
    room, given = Room(SIZE), []
    entered = threading.Event()

    def wait() -> None:
        with room.some_taken(SIZE // 16, 16) as count:
            given.append(count)
            entered.set()

    with room.some_taken(SIZE // 16, 14):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(0.05)
    thread.join(5)
    assert given == [16]
