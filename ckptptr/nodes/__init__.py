"""Where the things of a node are: its LATEST, the homes of its attempts, where it begins.

Outside Flyte by a URL (`plain`), in Flyte by the arithmetic of its paths (`flyte_paths`, `flyte_homes`), and
from a seed (`seed`). May import protocol, stores, transfer's pool and settings; never flytekit, session or cli.

The rule: a place is computed and checked. It is never guessed from what a bucket happens to hold.
"""
