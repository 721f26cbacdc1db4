"""What a save and a restore cost: two control requests each, whatever the number of attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Entry, folders_of
from tests.helpers import Paused, World

PAYLOAD = ("upload", "download", "copy")


def control(requests: list[str]) -> list[str]:
    """What is not payload, without the ids."""
    return [
        request.split("/")[0] if "manifests" in request else request
        for request in requests
        if request.split()[0] not in PAYLOAD
    ]


@pytest.mark.parametrize("how", ["folder", "file", "bytes"])
def test_a_steady_save_costs_the_manifest_and_latest(world: World, how: str) -> None:
    run = world.process(0, background=Paused())
    for step in range(10):
        with run.requests() as requests:
            if how == "folder":
                run.save({"model": str(step), "opt": "same"}, step=step)
            elif how == "file":
                run.save_file("model", str(step), step=step)
            else:
                run.save_bytes(b"%d" % step, step=step)
        if step:
            assert control(requests) == ["create manifests", "replace LATEST"]
            assert sum(request.startswith("upload") for request in requests) == 1


def test_what_retention_lets_go_costs_a_look_at_the_home_and_two_deletions_in_the_background(
    world: World,
) -> None:
    """The numbers that docs/operating.md counts with."""
    run = world.process(0)
    kept = 3
    for step in range(1, 52):
        with run.requests() as requests:
            run.save_bytes(b"%d" % step, step=step)
        if step < kept + 2:
            continue
        looks = step == 51  # every 50th after the first publish: for what killed savers left
        counted = Counter(request.split()[0] for request in requests)
        assert (counted.pop("upload"), counted.pop("create"), counted.pop("replace")) == (1, 1, 1)
        reads, lists = kept + 3 + looks * (kept + 2), 2 + looks * 2
        assert counted == {"read": reads, "list": lists, "delete": 2}
        assert control(requests)[:3] == ["create manifests", "replace LATEST", "read LATEST"]


def test_the_first_save_of_a_node_also_looks_for_what_is_there(world: World) -> None:
    run = world.process(0, background=Paused())
    with run.requests() as requests:
        run.save({"model": "1"})
    assert control(requests)[0] == "read LATEST"
    assert control(requests)[-1] == "create LATEST"
    assert "create manifests" in control(requests)


def test_a_first_save_costs_a_request_for_each_file_and_a_constant(world: World) -> None:
    counts = []
    for files in (1, 150):
        run = world.fork().process(0)
        with run.requests() as requests:
            run.save({f"shard-{number % 7}/item-{number}": f"{number}" for number in range(files)})
        counted = Counter(request.split()[0] for request in requests)
        assert counted.pop("upload") == files
        counts.append(counted)
    assert counts[0] == counts[1]


def test_no_listing_grows_with_the_files_that_are_saved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    listing = MemoryStore.list

    def counted(store: MemoryStore, folder: str) -> Iterator[Entry]:
        entries = [*listing(store, folder)]
        listed.extend(entry.key for entry in entries)
        return iter(entries)

    monkeypatch.setattr(MemoryStore, "list", counted)
    monkeypatch.setattr(
        MemoryStore, "folders", lambda store, folder: folders_of(listing(store, folder), folder)
    )
    for attempt in range(3):
        run = world.process(attempt)
        run.restore()
        for step in range(6):
            run.save({f"{number}": f"{attempt} {step}" for number in range(20)}, step=step)
    assert [key for key in listed if "/data/0" in key] == []


def test_the_first_save_after_a_restore_lists_its_own_home_besides(world: World) -> None:
    world.process(0).save({"model": "1"})
    run = world.process(1, background=Paused())
    run.restore()
    with run.requests() as requests:
        run.save({"model": "2"})
    assert control(requests) == ["list manifests", "create manifests", "replace LATEST"]


@pytest.mark.parametrize("attempt", [1, 2, 100])
def test_a_restore_through_latest_costs_latest_and_the_manifest_at_any_attempt(
    world: World, attempt: int
) -> None:
    first = world.process(0)
    for step in range(5):
        first.save({"model": str(step), "opt": "same"}, step=step)
    run = world.process(attempt, background=Paused())
    with run.requests() as requests:
        run.restore()
    assert control(requests) == ["read LATEST", "read manifests"]
    assert sum(request.startswith("download") for request in requests) == 2


def test_taking_up_a_choice_made_by_use_costs_one_swap_more(world: World) -> None:
    first = world.process(0)
    for step in (1, 2):
        first.save({"model": str(step)}, step=step)
    world.person().use(world.named()[1])
    run = world.process(1, background=Paused())
    with run.requests() as requests:
        run.restore()
    assert control(requests) == ["read LATEST", "read manifests", "replace LATEST"]


def test_a_restored_file_that_is_there_already_is_not_fetched_again(world: World) -> None:
    world.process(0).save({"model": "1", "opt": "2"})
    run = world.process(1)
    here = world.folder({"model": "1", "opt": "x", "other": "stays"})
    with run.requests() as requests:
        run.checkpoints.restore(here)
    assert [request.rpartition("/")[2] for request in requests if request.startswith("download")] == ["opt"]
    assert (here / "other").read_text() == "stays"
