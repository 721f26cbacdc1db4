from __future__ import annotations

import pytest

from ckptptr.errors import LocalDiskError
from ckptptr.lifetime.temporary import TemporaryFolders


def test_a_machine_without_a_temporary_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    with pytest.raises(LocalDiskError, match=r"no temporary folder.*Set TMPDIR"):
        TemporaryFolders().new()
