"""Real processes on real servers, in trouble; then each confirmed save is looked for.

    make trouble STORE=s3 MINUTES=30

- `ledger`: what a save has in it, and the record of each process of what it began, saved and restored.
- `writers`: the programs that save, and `tasks/troubled.py`, a task of Flyte.
- `stores`: the server, a proxy in front of it, and small disks.
- `crew`: who runs, is killed, is paused, and starts again.
- `conductor`: what goes wrong, at random from a seed.
- `judge`: whether each confirmed save is found at the end, and each restore returned what it had to.
"""
