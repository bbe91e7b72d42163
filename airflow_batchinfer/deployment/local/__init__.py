"""Services on this machine: a guardian and a router for each, which live until the service is deleted.

    apply ──starts once──> guardian ──starts, looks at──> router ──> replicas of one revision after the other
                               <──starts, looks at──────┘

Both hold the socket that listens, each looks whether the other lives, and each starts the other again: so either may be killed.
What they know lies in the service's folder; what they are asked comes over the socket `control` in it.
"""
