"""Exactly once, shown: jobs that are killed and run again, and what must have come of them.

::

    __main__        ``python -m tests.exactly_once SEED …``: a schedule again; what the tests start
    plans           which jobs die where, with which faults; what a seed means
    hazards         lives by seed: stops, folders that move, gateways, a second account, wires that are cut
    scenes          two jobs at once, leases that run out, clocks that jump
    stage           where lives are played: simulators, stores, wires
    case            one account's life: jobs that die, faults, a job that comes to its end, and the judgement
    life            the same with whole commands, whose exit codes and remedies are taken at their word
    job             what ``execution-engine run`` does, in a process, with all that it touches handed in
    command         a whole command in a process: what it prints, and the code that it ends with
    starts          how a job's process begins: as a fork, or one in twenty as a new interpreter
    death           a process that counts operations with an effect, and kills or stops itself at the nth
    wire            a proxy before a server, which does harm at the nth message
    market          the simulator, in a process of its own, and how it is told what to do
    stores          where positions, ledger, agent and lease are kept: embedded, or PostgreSQL and Firestore
    batches         the intents; ``trouble``: faults of the simulator
    judgement       what must hold once everything is over, read from the record
    truth           the same as the promises say it, held against the brokers' own books; ``limits``
    kinds           what can be wrong, counted; ``summary`` prints the sums
    test_crash      the same for dry runs, whose jobs ``tests.crash_job`` kills

The process that starts the others has no threads and no connections of its own, so that forks stay safe.
"""
