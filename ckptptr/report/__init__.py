"""A page to look at: the attempts of a node and their checkpoints, drawn.

`facts` is what is known, as one value; `picture` draws it as one SVG; `page` is that with tables, in
one file that needs no network and no script. The command `ckptptr report` writes the page, and the
deck of a Flyte task (`ckptptr.flyte.deck`) shows the same.
"""
