"""Weeks of two live accounts in which stores and data folders are lost, restored, swapped and copied.

``python -m tests.exactly_once --weeks SEED …`` plays weeks again, by their seeds; ``--store servers`` with
PostgreSQL and Firestore.

::

    weeks           what happens in a week, by seed: commands, losses, and the way back
    week            one week: the clock, the commands, what an operator does on reading a refusal
    losses          what is done to stores and folders, and how it is undone
    copies          copies of a data folder and of both servers, to be restored later
    judgement       what must hold after each command, by the brokers' own books

Each sentence that is wrong begins with its kind::

    limit       more orders filled or worked on a session than its limit, or a decision counted fewer
    position    a decision was made on another position than the broker's
    halt        an order was sent between a halt and ``recover``
    foreign     a break calls an order of ours somebody else's
    inbox       a refused command changed the inbox, or sent something
    way back    the command that a refusal names does not lead back to trading
"""
