"""The scoring service: a router process that listens, and replicas that run a script's `init()` and `run(raw_data)`.

It may not know the engine; what both need of a child process is in `processes`. Decisions are pure and at the bottom; the router
never parses a body; no pickle anywhere, and no key or body in a log.
"""
