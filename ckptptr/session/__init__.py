"""One process at work on one node: it saves, restores and deletes, and remembers LATEST in between.

    session                  what the process knows, and the lock on it
    content, batch           what a save changes, and what the checkpoint consists of then
    turns                    saves and restores of all threads, one at a time
    save                     the way of a content into the store, by: ids, siblings, objects, rebase
    background_sweeps        when a run deletes
    restore, put             a restore; a checkpoint that a person makes
    snapshot, background_saves           saves for which the caller does not wait
    cohort, jax_store        the ranks of a distributed task, which restore the same checkpoint
    parts, background_parts, rank        the ranks of a training, which make one checkpoint together
    signals                  one handler, and all that listen to it
    preemption               the last save of a process that is told to end

May import protocol, transfer, lifetime and the wrappers of stores; not nodes, flyte or the command line.

The rule: it says when, `protocol` says what. Nothing here writes LATEST or deletes an object itself.
"""
