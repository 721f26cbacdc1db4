"""A page to look at: the attempts of a node and their checkpoints, drawn.

`facts` are what is known, as one value; `layout` and `picture` draw them as one SVG; `page` and its
templates add tables. `ckptptr report` writes the page, the deck of a Flyte task shows a section of it.
May import `inspect` and what that may; neither `cli` nor click, which a pod must not load.
The rule: one file without scripts and requests, which escapes all that comes from a bucket.
"""
