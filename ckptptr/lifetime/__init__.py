"""What outlives the call that made it: threads (`daemon` for one piece of work, `background` for a worker),
and temporary folders (`temporary`). What only the main thread may do (`main_thread`).

May import no other folder of ckptptr. The rule: nothing of ours keeps the interpreter from exiting.
"""
