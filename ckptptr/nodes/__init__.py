"""Where the things of a node are: its LATEST, the homes of its attempts, where it begins.

Outside Flyte by a URL (`plain`), and from a seed (`seed`). In Flyte by its path arithmetic (`flyte_paths`,
`flyte_homes`) from who a pod is (`flyte_identity`, `flyte_actions`), with the places where it may begin
(`flyte_origins`): all together, `flyte_node`.

May import protocol, stores, settings and the pool of transfer; not session or an SDK of Flyte.

The rule: a place is computed and checked. It is never guessed from what a bucket happens to hold.
"""
