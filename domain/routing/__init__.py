"""Who takes which waiting conversation: pure, deterministic, explained."""
