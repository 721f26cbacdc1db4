"""A machine that starts no more threads, as this process meets it: by the kernel's own limit."""

from __future__ import annotations

import ctypes
import os
import resource
import struct

_VERSION_3 = 0x20080522
_SYS_ADMIN, _SYS_RESOURCE = 1 << 21, 1 << 24
_USER = 65534  # who runs nothing else here


def no_more_threads() -> None:
    """From now on, as where a pod's `podPidsLimit` is used up. Linux; root keeps its rights on files."""
    if os.geteuid() == 0:
        os.setresuid(_USER, 0, 0)  # the limit is counted for the real user
        _give_up(_SYS_ADMIN | _SYS_RESOURCE)  # which exempt from it
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


def _give_up(capabilities: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", _VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    assert libc.capget(ctypes.create_string_buffer(header), data) == 0, os.strerror(ctypes.get_errno())
    effective, permitted, *rest = struct.unpack("6I", data.raw[:24])
    kept = struct.pack("6I", effective & ~capabilities, permitted & ~capabilities, *rest)
    assert libc.capset(ctypes.create_string_buffer(header), ctypes.create_string_buffer(kept)) == 0
