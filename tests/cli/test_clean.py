"""`ckptptr clean`: the checkpoints of executions that are over."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.nodes.flyte_paths import NodePrefix
from tests.cli.conftest import EXECUTION, FlyteNode, run, run_json

MONTH = "30d"


def age(folder: Path, days: int = 40) -> None:
    """All that is there was written so long ago."""
    moment = time.time() - days * 86400
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment))


def objects(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".ckptptr-"))
    return sorted(str(path.relative_to(folder)) for path in files)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two executions that are over; the second has two nodes, in another project."""
    data = tmp_path / "data"
    FlyteNode(data).save(0, 1, 2, 3, 4)
    FlyteNode(data).save(1, 5)
    for name in ("n0", "n1"):
        with ckptptr.open(other(data, name).prefix, attempt=0) as checkpoints:
            checkpoints.save(b"x" * 1000, step=8)
    age(data)
    return data


def other(data: Path, name: str = "n0") -> NodePrefix:
    return NodePrefix(root=str(data), project="p", domain="production", execution="other", node=name)


def clean(root: Path | str, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    return run_json("clean", str(root), "--older-than", MONTH, *arguments, exit_code=exit_code)


def deleted(told: dict[str, Any]) -> list[str]:
    return sorted(each["execution"] for each in told["executions"])


def why(told: dict[str, Any]) -> str:
    (kept,) = told["kept"]
    return str(kept["why_not"])


def test_nothing_of_ours_is_left_of_executions_that_are_over(root: Path) -> None:
    before = objects(root)
    told = clean(root, "--yes")
    assert deleted(told) == [EXECUTION, "other"]
    assert (told["moving"], told["kept"]) == (0, [])
    assert told["objects"] == len(before)
    assert objects(root) == []


def test_a_dry_run_says_what_each_holds_and_deletes_nothing(root: Path) -> None:
    before = {name: (root / name).stat() for name in objects(root)}
    told = clean(root, "--dry-run")
    assert [(each["execution"], each["nodes"], each["checkpoints"]) for each in told["executions"]] == [
        (EXECUTION, 1, 4),
        ("other", 2, 2),
    ]
    assert told["bytes"] == sum(each.st_size for each in before.values())
    assert {name: (root / name).stat().st_mtime for name in objects(root)} == {
        name: stat.st_mtime for name, stat in before.items()
    }
    said = run("clean", str(root), "--older-than", MONTH, "--dry-run").stdout
    assert f"Would be deleted: 2 executions, {told['bytes'] / 1024:.1f} KiB in {len(before)} objects." in said
    assert EXECUTION in said
    assert "p/production" in said


def test_it_asks_and_without_an_answer_deletes_nothing(root: Path) -> None:
    before = objects(root)
    asked = run("clean", str(root), "--older-than", MONTH, stdin="n\n")
    assert (asked.exit_code, "would be deleted for good" in asked.stderr) == (2, True)
    assert EXECUTION in asked.stdout
    closed = run("clean", str(root), "--older-than", MONTH, stdin="")
    assert (closed.exit_code, "--yes confirms it" in closed.stderr) == (2, True)
    assert objects(root) == before
    assert run("clean", str(root), "--older-than", MONTH, stdin="y\n").exit_code == 0
    assert objects(root) == []


@pytest.mark.parametrize("where", ["LATEST", "payload", "home of a later attempt"])
def test_an_execution_of_which_anything_moved_stays_whole(root: Path, where: str) -> None:
    node = FlyteNode(root)
    if where == "LATEST":
        os.utime(node.latest)
    elif where == "payload":
        os.utime(next(node.home(0).rglob("_dst_cp")))
    else:
        upload = node.home(7) / "data/0000000009-a0007-abcdefgh/model.pt"
        upload.parent.mkdir(parents=True)
        upload.write_bytes(b"x")
    before = [name for name in objects(root) if "other" not in name]
    told = clean(root, "--yes")
    assert (deleted(told), told["moving"]) == (["other"], 1)
    assert objects(root) == before


def test_what_woke_up_while_it_asked_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FlyteNode(root)

    def wake_up(*_: object, **__: object) -> None:
        node.save(2, 6)

    monkeypatch.setattr("ckptptr.cli.clean.confirm", wake_up)
    told = clean(root)
    assert (deleted(told), why(told)) == (["other"], "it began to move meanwhile")
    assert node.restored(3) == 6


def test_what_is_pinned_stays_and_latest_names_it(root: Path) -> None:
    node = FlyteNode(root)
    third = node.save(2, 6, 7, 8, 9)[7]
    run("pin", node.url, third)
    age(root)
    told = clean(root, "--yes")
    assert [each["keeps"] for each in told["executions"] if each["execution"] == EXECUTION] == [
        [f"{node.home(2).relative_to(root)}/manifests/{third}.json"]
    ]
    assert len([*root.rglob("manifests/*.json")]) == 1
    shown = run_json("show", node.url)
    assert (shown["checkpoint"]["step"], shown["latest"]["held"]) == (7, False)
    assert node.restored(3) == 7
    age(root)
    again = clean(root, "--yes")
    assert (again["executions"], why(again)) == ([], "nothing is left but what stays")


def test_keep_latest_keeps_what_latest_names_and_a_later_clean_without_it_the_rest(root: Path) -> None:
    node = FlyteNode(root)
    told = clean(root, "--yes", "--keep-latest")
    assert (deleted(told), why(told)) == ([EXECUTION], "nothing is left but what stays")
    assert len([*root.rglob("manifests/*.json")]) == 3
    shown = run_json("show", node.url)
    assert (shown["checkpoint"]["step"], shown["latest"]["moved_with"]) == (5, "clean")
    run_json("verify", node.url, "--deep", "--all")
    assert deleted(clean(root, "--yes")) == ["other"]  # the LATEST of the first was moved just now
    assert node.restored(2) == 5
    age(root)
    assert deleted(clean(root, "--yes")) == [EXECUTION]
    assert objects(root) == []


def test_keep_latest_keeps_all_where_what_latest_names_cannot_be_restored(root: Path) -> None:
    node = FlyteNode(root)
    for payload in node.home(1).rglob("_dst_cp"):
        payload.unlink()
    told = clean(f"{root}/_ckptptr/flytesnacks", "--yes", "--keep-latest")
    assert (deleted(told), why(told)) == ([], "n0: what LATEST names cannot be restored")
    assert node.restored(2) == 4


@pytest.mark.parametrize("kind", ["held", "edited", "damaged", "newer"])
def test_a_latest_that_is_held_damaged_or_newer_keeps_its_whole_execution(root: Path, kind: str) -> None:
    latest = Path(other(root).prefix, "LATEST")
    if kind == "held":
        run("use", other(root).prefix, "--step", "8")
    elif kind == "newer":
        latest.write_text(latest.read_text().replace("ckptptr/1", "ckptptr/2"))
    else:
        latest.write_text("none" if kind == "edited" else "{")
    age(root)
    before = [name for name in objects(root) if "other" in name]
    told = clean(root, "--yes")
    assert deleted(told) == [EXECUTION]
    said = {"damaged": "not a JSON object", "newer": "Upgrade ckptptr"}
    assert said.get(kind, "n0: LATEST is held") in why(told)
    assert objects(root) == before


def test_what_the_latest_of_another_node_names_stays(root: Path) -> None:
    source = FlyteNode(root)
    living = NodePrefix(root=str(root), project="q", domain="d", execution="living", node="n0")
    with ckptptr.open(living.prefix, attempt=0) as checkpoints:
        checkpoints.save(b"own")
    wanted = next(source.home(1).glob("manifests/*.json"))
    assert run("use", living.prefix, str(wanted), "--yes").exit_code == 0
    inside = f"{root}/_ckptptr/flytesnacks"  # also where the other node is beside ROOT
    (told,) = clean(inside, "--yes")["executions"]
    assert told["keeps"] == [str(wanted.relative_to(root))]
    with ckptptr.open(living.prefix, attempt=1) as checkpoints:
        checkpoints.restore()
        assert checkpoints.resolution is not None
        assert checkpoints.resolution.found is not None


def test_what_ckptptr_did_not_write_stays(root: Path) -> None:
    home = FlyteNode(root).home(0)
    foreign = [
        home / "model.pt",
        home.parent / "outputs/00000",
        home / "data/notes.txt",
        root / "mine/LATEST",
    ]
    foreign += [Path(FlyteNode(root).url, "README"), root / "_ckptptr/README"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    age(root)
    clean(root, "--yes")
    assert objects(root) == sorted(str(path.relative_to(root)) for path in foreign)


def test_damaged_manifests_torn_saves_and_kept_bytes_of_latest_go_too(root: Path) -> None:
    node = FlyteNode(root)
    for manifest in node.home(0).glob("manifests/*.json"):
        node.damage(manifest.stem)
    torn = node.home(1) / "data/0000000009-a0001-abcdefgh/model.pt"
    record = node.home(1) / "data/.sets/round1/abcdefgh.json"
    for path in (torn, record, node.latest.with_name("LATEST.damaged-0123456789abcdef")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    age(root)
    clean(root, "--yes")
    assert objects(root) == []


def test_two_projects_with_the_same_homes_stay(root: Path) -> None:
    twin = NodePrefix(root=str(root), project="q", domain="d", execution=EXECUTION, node="n0")
    with ckptptr.open(twin.prefix, attempt=3) as checkpoints:
        checkpoints.save(b"x")
    age(root)
    told = clean(root, "--yes")
    assert deleted(told) == ["other"]
    assert {each["why_not"] for each in told["kept"]} == {"n0: a node of another project has the same home"}


@pytest.mark.parametrize("inside", ["", "/_ckptptr/flytesnacks"])
def test_homes_that_no_arithmetic_finds_keep_their_execution(root: Path, inside: str) -> None:
    """Union's builds put more segments before the uid."""
    for number in (0, 1):
        folder = FlyteNode(root).home(number).parent
        folder.rename(folder.with_name("moved"))
        folder.parent.joinpath("org").mkdir()
        folder.with_name("moved").rename(folder.parent / "org" / folder.name)
    age(root)
    before = [name for name in objects(root) if "other" not in name]
    told = clean(f"{root}{inside}", "--yes")
    assert why(told) == "n0: its homes are not where Flyte puts them"
    assert [name for name in objects(root) if "other" not in name] == before


def test_an_execution_with_a_new_node_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = FlyteNode(root, "n7")
    monkeypatch.setattr("ckptptr.cli.clean.confirm", lambda *_, **__: new.save(0, 1))
    told = clean(root)
    assert (deleted(told), why(told)) == (["other"], "it began to move meanwhile")


@pytest.mark.slow
def test_runs_of_flyte_2_are_cleaned_below_their_base(tmp_path: Path) -> None:
    root = str(tmp_path / "xy/org/run")
    prefix = NodePrefix(root=root, project="p", domain="d", execution="run", node="a0_v2").prefix
    with ckptptr.open(prefix, attempt=1) as checkpoints:
        checkpoints.save(b"x", step=4)
    age(tmp_path)
    assert deleted(clean(tmp_path / "org/run", "--flyte-2", "--yes")) == ["run"]
    assert objects(tmp_path) == []


def test_it_refuses_what_is_no_base_of_flyte_and_an_age_of_hours(tmp_path: Path, root: Path) -> None:
    plain = tmp_path / "plain"
    with ckptptr.open(str(plain)) as checkpoints:
        checkpoints.save(b"x")
    age(plain)
    before = objects(plain)
    assert run("clean", str(plain), "--older-than", MONTH, "--yes").exit_code == 3
    assert objects(plain) == before
    hours = run("clean", str(root), "--older-than", "23h", "--yes")
    assert (hours.exit_code, "at least 1d" in hours.stderr) == (2, True)
    assert run("clean", str(root), "--yes").exit_code == 2
    assert len(objects(root)) > 0


def test_an_interruption_is_told_and_the_next_clean_finishes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ckptptr.protocol.clean.delete", interrupt)
        said = run("clean", str(root), "--older-than", MONTH, "--yes")
    assert (said.exit_code, "Interrupted." in said.stderr) == (130, True)
    begun = run_json("show", FlyteNode(root).url)["latest"]
    assert (begun["checkpoint"], begun["held"], "run it again" in begun["note"]) == ("none", True, True)
    assert deleted(clean(root, "--yes")) == [EXECUTION, "other"]
    assert objects(root) == []
