"""Where the things of a node are: its LATEST, the homes of its attempts, where it begins.

Outside Flyte by a URL (`plain`), in Flyte by its path arithmetic (`flyte_paths`, `flyte_homes`), and
from a seed (`seed`). May import protocol, stores, settings and the pool of transfer; not session or flytekit.

The rule: a place is computed and checked. It is never guessed from what a bucket happens to hold.
"""
