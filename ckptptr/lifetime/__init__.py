"""What outlives the call that made it: threads (`daemon` for one piece of work, `background` for a worker),
temporary folders (`temporary`); and how that ends: with the process (`ending`), or in a fork (`forks`). What
only the main thread may do (`main_thread`).

May import no other folder of ckptptr. The rule: nothing of ours keeps the interpreter from exiting, and
nothing waits for a thread that is not there.
"""
