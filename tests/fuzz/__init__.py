"""The fuzzer: damaged stores, odd environments, and what must hold whatever stands in them.

`start` is a small bucket, written by hand, so that it is the same for ever. `damage` draws what happens to
its objects, and `operations` runs the product on the result and judges it. `environment` does the same for
variables and paths. `kept` are the inputs that once found a fault. `python -m tests.fuzz` runs for minutes.
"""
