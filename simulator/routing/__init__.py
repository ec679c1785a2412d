"""A pure simulator of routing in virtual time: seeded, repeatable, on the engine that routes for real."""
