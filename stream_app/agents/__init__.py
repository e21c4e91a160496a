"""The three stages' agents: thin. Each takes a batch, calls the domain, and hands its effects to the engine."""
