"""Exactly once, shown: jobs that are killed and run again, and what must have come of them.

::

    __main__        ``python -m tests.exactly_once SEED …``: a schedule again; what the tests start
    plans           which jobs die where, with which faults
    case            one account's life: jobs that die, faults, a job that comes to its end, and the judgement
    job             what ``execution-engine run`` does, in a fork, with everything that it touches handed in
    death           a process that counts its operations with an effect and kills itself at the nth
    market          the simulator, in a process of its own, and how it is told what to do
    stores          where positions, ledger, agent and lease are kept: embedded, or PostgreSQL and Firestore
    batches         the intents
    judgement       what must hold once everything is over
    test_crash      the same for dry runs, whose jobs ``tests.crash_job`` kills

The process that starts the others has no threads and no connections of its own, so that forks stay safe.
"""
