"""The rules of the scheme, as code. PROTOCOL.md is their text; both change together.

    names, references        what things are called, and what people may write for it
    sealed                   JSON that carries a checksum over itself
    pointer, manifest        the two formats: LATEST, and what one checkpoint consists of
    node, fence              whose things these are, and which process may still move LATEST
    latest                   LATEST, a value moved by compare-and-swap; who moves it hands in a decision
    inventory, complete      what is really there, from listings
    merge, retention, publish            a save: commit, then name it in LATEST
    candidates, resolve, adopt, forward  a restore: the first good candidate, then LATEST follows
    sweep                    what is deleted
    choose                   what a person does

May import the port of the stores and their URLs, the clock, the errors and the prefix of hidden names: no
SDK, no session, no thread.

The rule: no clock and no chance decides, and what counts as absent was proven to be.
"""
