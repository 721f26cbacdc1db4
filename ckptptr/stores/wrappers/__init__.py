"""Stores around a store: each says only what it does differently.

    around                   the base, and `unwrap`
    retry, stoppable         tries again what may be tried again; ends all requests at once
    probe, last_writer       whether a server keeps conditional writes; what is left where it does not

May import the port, the clock, the errors and the settings: no SDK.

The rule: a request whose outcome is unknown is never sent again here, unless it changes nothing, or the same
thing however often it runs (copy, delete).
"""
