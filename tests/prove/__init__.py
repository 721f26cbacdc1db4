"""Every schedule of small worlds: the real code on the memory store, one request at a time.

`python -m tests.prove` explores the worlds of `worlds.py`, and `--world NAME --replay NUMBER` shows one
schedule again. `make mutants` shows that broken rules are found.
"""
