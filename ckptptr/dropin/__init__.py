"""What the drop-ins for flytekit and for Flyte 2 share.

    delegate                 the methods of `ckptptr.Checkpoints`, with the errors of the SDK
    drawing                  what a task did with them, for a page
    local_run                the checkpoints of a local run

May import checkpoints, nodes, report and what those may; not flyte, flyte2 or their SDKs. The rule: what a
task of one SDK can do with its checkpoints, a task of the other can do too.
"""
