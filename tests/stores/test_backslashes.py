"""Files with a backslash in their names, on every kind of store."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

import ckptptr
from ckptptr.protocol.names import CheckpointId, payload_object
from ckptptr.settings import ENGINE
from tests.helpers import read_folder

CLOUDS = {
    "s3": ("s3", "s3_bucket", "s3_filesystem"),
    "gcs": ("gs", "gcs_bucket", "gcs_filesystem"),
    "azure": ("abfs", "azure_container", "azure_filesystem"),
}
NAMES = ("a\\b", "a/b", "a%5Cb", "a%255Cb", "a%\\b", "sub/x\\..\\y", "sub/\\")


def save_and_restore(url: str, tmp_path: Path, filesystem: object = None) -> None:
    saved, restored = tmp_path / "saved", tmp_path / "restored"
    for name in NAMES:
        (saved / name).parent.mkdir(parents=True, exist_ok=True)
        (saved / name).write_bytes(name.encode())
    (saved / "large\\").write_bytes(bytes(17 << 20))
    with ckptptr.open(f"{url}/{uuid.uuid4().hex}", filesystem=filesystem) as checkpoints:
        checkpoints.save(saved, step=1)
        checkpoints.restore(restored)
    assert read_folder(restored) == read_folder(saved)
    assert {*NAMES} < {*read_folder(restored)}


@pytest.mark.servers
@pytest.mark.parametrize("engine", ["fsspec", "obstore"])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_they_come_back_from_a_cloud(
    cloud: str, engine: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if engine == "obstore":
        pytest.importorskip("obstore")
    monkeypatch.setenv(ENGINE.name, engine)
    scheme, bucket, filesystem = CLOUDS[cloud]
    url = f"{scheme}://{request.getfixturevalue(bucket)}"
    save_and_restore(url, tmp_path, request.getfixturevalue(filesystem))


def test_they_come_back_from_a_disk(tmp_path: Path) -> None:
    save_and_restore(str(tmp_path / "store"), tmp_path)


def test_no_two_files_get_the_same_object_and_all_others_keep_their_names() -> None:
    id_ = CheckpointId(1, 0, "abcdefgh")
    objects = [payload_object(id_, name) for name in NAMES]
    assert len({*objects}) == len(NAMES)
    assert not any("\\" in each for each in objects)
    assert payload_object(id_, "50 %/ü#?.pt") == f"data/{id_}/50 %/ü#?.pt"
