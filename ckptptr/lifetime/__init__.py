"""What outlives the call that made it: threads (`daemon` for one piece of work, `background` for a worker),
temporary folders (`temporary`); and how that ends: with the process (`ending`), or in a fork (`forks`).

May import the errors, and names of files, of ckptptr. The rule: nothing of ours keeps the interpreter from
exiting, and nothing waits for a thread that is not there.
"""
