"""The rule book: which intents are allowed, and the reason for each refusal.

``evaluate`` judges a batch::

    evaluation      the decision function: all rules on all rows, the reason of each, the frame of decisions
      batch           the intents as typed columns; ``buckets``: rows that every limit treats alike
      equal_rows      rows that are equal in several columns
      in_force        the levels of each limit that judge any row of the batch
      row_rules       rules that judge a row, or a file, by itself
        at_levels       what a part of a rule says at all levels of its limit
      sequence        rules that depend on the rows allowed before: which rows have to be scanned
        counted         counters: ``cells``, their limits, what is used (``held``: positions, working orders)
        self_trade      prices at which orders of one account meet
        scanned, scan   the scan: its arrays, and what the sequential rules allow, in one function
      answers         verdicts, failing levels and figures, once it is known which rows are allowed
      groups          orders that ``on_refusal`` refuses together
      sharing         a limit that strategies share by ``share = "pro_rata"``
      reducing        which orders reduce a position, and so pass some rules
      overrides       which rows an override lets pass a rule; ``override_file``: its text

    book            every rule, in the order that decides which reason is given
      rules           one file per rule, with the name of its reason
      rule            what such a file holds
      latched, trading_states, limit_of_accounts, policies   what several rules read or set
    inputs          the snapshot that rules judge by, and what makes a part of it unavailable
    config          the limits: from variables, a limits file, or Python; ``levels``: where each is set
      limits_file     TOML text -> checked limits; ``limits_of_book``: the book's keys in it
      settings        the variables of limits among all settings
    utilisation     how much of each limit a batch used

Missing data: ``RiskInputs`` says what is unavailable, a rule answers UNAVAILABLE (``verdicts``), and
``evaluation`` refuses the row as ``risk_data_unavailable``, or skips the rule where ``fail_open`` is set and
the rule has ``needs_data``.

To add a rule: write ``rules/<reason>.py`` with one ``RULE`` (``max_order_qty_exceeded`` is the shortest with
a limit), and put it into ``book``. Its variable, its key in the limits file, its column ``check_<reason>``
and its figures follow from it. Tests ask for its row in ``jobs/docs/limits.md`` and that of its variable in
``jobs/docs/settings.md``. Data that no rule reads yet is a frame of ``inputs``: its columns go into
``engine.model.schema``, its name into ``LIMIT_FRAMES`` (``engine.record.run_folder``), its source into
``engine.run.input_sources``. Limits files in use are refused until they set the rule or acknowledge that it
is off.
"""

from __future__ import annotations

from engine.risk.book import RULE_BOOK
from engine.risk.evaluation import OK, REASONS, RISK_DATA_UNAVAILABLE, evaluate
from engine.risk.rule import Rule

__all__ = ["OK", "REASONS", "RISK_DATA_UNAVAILABLE", "RULE_BOOK", "Rule", "evaluate"]
