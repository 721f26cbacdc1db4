"""flytekit's own settings for Azure, an account's name and key, through `pyflyte-execute`.

They have no endpoint: the pod goes to `https://<account>.blob.core.windows.net`, and by a proxy in its
environment meets Azurite there, which checks the signature of each request.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.flyte.places import COUNTED_ON, IN_THE_MIDDLE_OF_SAVE_4, Place
from tests.servers.azurite import Azurite
from tests.servers.tunnel import TlsTunnel

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute


def test_an_account_name_and_key_are_all_that_the_story_needs(on_azure: Place, azure_server: Azurite) -> None:
    with TlsTunnel("*.blob.core.windows.net", azure_server.port) as tunnel:
        account = {
            "FLYTE_AZURE_STORAGE_ACCOUNT_NAME": azure_server.account,
            "FLYTE_AZURE_STORAGE_ACCOUNT_KEY": azure_server.key,
        }
        node = replace(on_azure.node, environ={**account, **tunnel.environ})
        first = node.run(0, IN_THE_MIDDLE_OF_SAVE_4)
        assert first.signal == 9, first.log
        second = node.run(1, FLYTE_PERSISTENCE_ATTACH_EXECUTION_METADATA="false")  # no matter to our uploads
        assert second.outputs == COUNTED_ON, second.log
        assert second.requests[0][0] == "read"  # Azure's own host is known: nothing is probed
        assert on_azure.pointer()["attempt"] == 1
        assert set(tunnel.asked) == {f"{azure_server.account}.blob.core.windows.net:443"}
        assert azure_server.key not in first.log + second.log
        wrong = {"FLYTE_AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmc="}
        refused = node.run(2, **wrong)
        assert refused.outputs is None
        assert on_azure.pointer()["attempt"] == 1
        assert "AccessDeniedError" in refused.log
