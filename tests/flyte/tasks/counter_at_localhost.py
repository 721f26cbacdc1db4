"""A counter on a machine that takes each name below `localhost` for itself: access points have host names."""

import socket

from padded_counter import count_to

resolved = socket.getaddrinfo


def getaddrinfo(host, *more, **options):
    return resolved("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **options)


socket.getaddrinfo = getaddrinfo
__all__ = ["count_to"]
