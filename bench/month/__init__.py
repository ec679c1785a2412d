"""A month of a support floor in virtual time: every conversation's real state machine, every step in the real ledger.

    python -m bench.month --conversations 1000 [--seed 1]

Customers write, write again elsewhere, leave, answer suggestions and surveys, come back in the reopen window or days
later; agents decline, let offers pass, transfer, hold, escalate, resolve, take up again; promises change in the middle
of the month; conversations in any state are merged, some of the merges undone, threads split off. What the ledger owes
a conversation reaches it late, as by the relay. Afterwards the month is judged: no violation, the KPIs of the tables
equal to those folded from the log, each breach told once.

The month lies ahead, because what the ledger dates itself is never before its own clock.
"""
