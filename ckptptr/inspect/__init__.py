"""What the command line and the report both know about a node, seen from outside its attempts.

`target` finds the node that a person means (`lookup` searches for it); `explain` says what the next attempt
would restore, `log` lists every checkpoint; `shapes` are the answers, `describe` makes them, `sentences`
words them. May import all but `cli`, `report` and `flyte`, and never click: a pod draws its deck with this.
The rule: it reads, and changes nothing.
"""
