"""obstore needs Python 3.11; before that there is no fast lane, and nothing here to test."""

from __future__ import annotations

import sys

collect_ignore_glob = [] if sys.version_info >= (3, 11) else ["test_*.py"]
