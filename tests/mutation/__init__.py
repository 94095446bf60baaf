"""Mutation testing: does any test notice when a line of the engine is wrong?

``python -m tests.mutation`` tries the rule book's mutants, which follow from the book (``book``), and the
fixed sample (``sample``), as ``make soak`` does, and fails where a mutant survives or its place is no longer
found. ``python -m tests.mutation engine/ledger/documents.py …``
tries every mutant of a module, or ``--at-most`` so many of them, against the tests nearest to it; with
``documents.py:40-80`` those of some lines. ``SURVIVORS.md`` says of those that are left why nothing differs.

A mutant is the source of a module with one change (``mutating``). It is never written to the tree: a child
process loads it in place of the module and runs the tests (``trial``), or, of a module's mutants, has the
functions that differ exchanged (``exchanging``). Processes that a test starts
itself load the module as it is.
"""
