"""The fixed sample: mutants that once survived, or that would cost the most, and the tests that kill them.

Each is a text that its module has exactly once, and what stands in its place. The tests are named by file
and, after ``::``, by a part of their names, so that one is tried in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutation.mutating import Mutant, replaced


@dataclass(frozen=True)
class Sampled:
    """A mutant by the text that it replaces, and the tests nearest to it: ``file::part of a name``."""

    path: str
    before: str
    after: str
    tests: str

    def mutant(self) -> Mutant:
        """Return the mutant. Raises ``LookupError`` where its place is not found."""
        return replaced(self.path, self.before, self.after)

    @property
    def selection(self) -> list[str]:
        """The tests as pytest selects them."""
        place, _, part = self.tests.partition("::")
        return [f"tests/{place}", *(["-k", part] if part else [])]


_LIVE, _ONE = "engine/routing/test_live.py", "engine/routing/test_submission.py"
_REPLIES = "engine/routing/test_submission_replies.py"
_RULES = "engine/risk/test_evaluate_examples.py"
_RECONCILING, _LEASE = "engine/reconciliation/test_breaks_found.py", "engine/safety/test_lease.py"

SAMPLE = (
    # what a killed job may have sent, and what is not known
    Sampled(
        "engine/routing/live.py",
        " or order.row in failed.earlier):",
        "):",
        "engine/test_several_accounts.py::never_called_unsent",
    ),
    Sampled(
        "engine/routing/accounts.py",
        "why=str(why), earlier=earlier)",
        "why=str(why), earlier=[])",
        "engine/test_several_accounts.py::never_called_unsent",
    ),
    Sampled(
        "engine/routing/submission.py",
        "not tries.posts and not self.broker.is_duplicate_id(refusal):",
        "not tries.posts:",
        f"{_ONE}::id_is_taken",
    ),
    Sampled(
        "engine/reconciliation/open_order_recovery.py",
        "if left.trading_date >= self.session.trading_date or age < _LONGEST_LAG:",
        "if age < _LONGEST_LAG:",
        f"{_ONE}::not_forgotten_in",
    ),
    Sampled(
        "engine/reconciliation/open_order_recovery.py",
        "if left.trading_date >= self.session.trading_date or age < _LONGEST_LAG:",
        "if left.trading_date >= self.session.trading_date:",
        f"{_ONE}::not_forgotten_in",
    ),
    Sampled(
        "engine/reconciliation/open_order_recovery.py",
        "timedelta(minutes=1), timedelta(hours=1)",
        "timedelta(0), timedelta(hours=1)",
        f"{_ONE}::in_doubt_is_looked",
    ),
    Sampled(
        "engine/routing/submission.py",
        "created_at = found.created_at or found.submitted_at",
        "created_at = found.created_at",
        f"{_ONE}::says_when_it",
    ),
    Sampled(
        "engine/routing/fills.py",
        "and not order.filled_qty and outcome.status",
        "and outcome.status",
        "engine/routing/test_fills.py::rejected_once",
    ),
    Sampled(
        "engine/routing/submission.py",
        "created_at < self.not_before:",
        "created_at <= self.not_before:",
        f"{_REPLIES}::since_the_run_began",
    ),
    Sampled(
        "engine/routing/submission.py",
        "in_doubt=self.sought, message=message",
        "in_doubt=False, message=message",
        f"{_REPLIES}::withheld_before_it_was_sent",
    ),
    Sampled(
        "engine/routing/live.py",
        "if orders or len(known) == len(answers):",
        "if orders or known:",
        "engine/routing/test_live_replies.py::is_decisive",
    ),
    Sampled(
        "engine/routing/fills.py",
        'if outcome.status == "unresolved" or outcome.in_doubt:',
        'if outcome.status == "unresolved":',
        "engine/routing/test_settling.py::is_open_until",
    ),
    Sampled(
        "engine/routing/cancel_all.py",
        "_QUIET_POLLS = 2",
        "_QUIET_POLLS = 1",
        "engine/routing/test_withdrawing.py::listed_until_two or listed_twice",
    ),
    # whether an order may still leave
    Sampled(
        "engine/routing/live.py",
        "if age_s < -CLOCK_SKEW_LIMIT_S:",
        "if age_s < -1e12:",
        f"{_LIVE}::too_old_by",
    ),
    Sampled(
        "engine/routing/live.py",
        'if age_s > settings["decision_max_age_s"]:',
        'if age_s >= settings["decision_max_age_s"]:',
        f"{_LIVE}::too_old_by",
    ),
    Sampled(
        "engine/routing/live.py",
        "intent.valid_until < now:",
        "intent.valid_until <= now:",
        f"{_LIVE}::too_old_by",
    ),
    Sampled(
        "engine/routing/live.py",
        "withheld = self.halted or self._halted_now(order) or self._expired(order)",
        "withheld = self.halted or self._expired(order)",
        f"{_LIVE}::kill_switch_that_goes_on",
    ),
    Sampled(
        "engine/routing/live.py",
        "        self.connection.lease.hold_for(SEND_S)\n",
        "",
        f"{_LIVE}::without_the_right",
    ),
    Sampled(
        "engine/routing/dry_run.py",
        "SWITCH_READS_AT_MOST = 100",
        "SWITCH_READS_AT_MOST = 1_000_000",
        "engine/routing/test_dry_run.py::hundred_times",
    ),
    Sampled(
        "engine/routing/symbol_queue.py",
        "if self._is_stopped or not self._ready:",
        "if not self._ready:",
        "engine/routing/test_symbol_queue.py::another_symbol",
    ),
    Sampled(
        "engine/routing/release_check.py",
        "if self.orders.get(order.key) != about:",
        "if order.key not in self.orders:",
        "engine/routing/test_release_check.py::differs_from_what",
    ),
    Sampled(
        "engine/routing/cancels.py",
        "if known is not None and known.strategy_id != intent.strategy_id:",
        "if False:",
        "engine/routing/test_cancels_replies.py::is_not_this_strategys",
    ),
    # the counts and the rules
    Sampled(
        "engine/reconciliation/sync.py",
        '        and document.get("trading_date") == today\n',
        "",
        "engine/reconciliation/test_sync.py::todays_count",
    ),
    Sampled(
        "engine/risk/scan.py",
        "within = now + amount <= limit",
        "within = now + amount < limit",
        _RULES,
    ),
    Sampled(
        "engine/risk/scan.py",
        "            total = counters.used[cell] + amount\n            counters.used",
        "            total = counters.used[cell]\n            counters.used",
        _RULES,
    ),
    Sampled(
        "engine/risk/scan.py",
        "projected <= limit and projected >= -limit",
        "projected <= limit and projected > -limit",
        _RULES,
    ),
    Sampled(
        "engine/risk/scan.py",
        "                amount = rows.sign[row] * amount\n",
        "                amount = amount\n",
        _RULES,
    ),
    # the books
    Sampled(
        "engine/reconciliation/breaks_found.py",
        "if rest and unclear:",
        "if unclear:",
        f"{_RECONCILING}::unclear_size",
    ),
    Sampled(
        "engine/reconciliation/account_books.py",
        "_MARGIN = timedelta(seconds=2)",
        "_MARGIN = timedelta(0)",
        "engine/reconciliation/test_account_books.py::after_a_clean",
    ),
    Sampled(
        "engine/routing/fills.py",
        "_MARGIN = timedelta(seconds=1)",
        "_MARGIN = timedelta(0)",
        "engine/routing/test_fills.py::no_later_than_its_order",
    ),
    Sampled(
        "engine/routing/submission.py",
        "                self.broker.get_clock()  # raises",
        "                pass  # raises",
        "engine/routing/test_submission.py::nothing_of_the_broker_can_be_reached",
    ),
    Sampled(
        "engine/ledger/documents.py",
        'kept |= {"trading_date", SESSION_IS_ESTIMATED}',
        "pass",
        "engine/ledger/test_documents.py::trading_date_of or estimate_never",
    ),
    Sampled(
        "engine/ledger/documents.py",
        "kept |= FILL_FIELDS",
        "pass",
        "engine/ledger/test_documents.py::late_reply",
    ),
    Sampled(
        "engine/ledger/documents.py",
        "if not order.filled_qty > 0:",
        "if not order.filled_qty > 1:",
        "engine/ledger/test_documents.py::smallest_fill",
    ),
    Sampled(
        "engine/ledger/documents.py",
        "        _session(document)\n    _check_filled_qty",
        "        pass\n    _check_filled_qty",
        "engine/ledger/test_documents.py::counted_by_is_good",
    ),
    Sampled(
        "engine/ledger/documents.py",
        'and not is_estimated and new.get("trading_date") is not None:',
        "and not is_estimated:",
        "engine/ledger/test_documents.py::leaves_an_estimate",
    ),
    Sampled(
        "engine/reconciliation/breaks_found.py",
        "untraded = gap - sum(",
        "untraded = gap + sum(",
        "engine/reconciliation/test_breaks_of_actions.py::beside_a_trade",
    ),
    Sampled(
        "engine/reconciliation/order_breaks.py",
        "if not same_qty or abs(",
        "if abs(",
        "engine/reconciliation/test_breaks_of_prices.py::no_second",
    ),
    # the lease
    Sampled(
        "engine/safety/lease.py",
        "return min(by_monotonic_s, by_wall_s) - CLOCK_SKEW_LIMIT_S",
        "return min(by_monotonic_s, by_wall_s)",
        f"{_LEASE}::not firestore and not processes",
    ),
    Sampled(
        "engine/safety/lease.py",
        "return min(by_monotonic_s, by_wall_s) - CLOCK_SKEW_LIMIT_S",
        "return by_wall_s - CLOCK_SKEW_LIMIT_S",
        f"{_LEASE}::not firestore and not processes",
    ),
    Sampled(
        "engine/safety/lease.py",
        'if replacing is None or replacing.get("nonce") != self._nonce:',
        "if replacing is None:",
        f"{_LEASE}::not firestore and not processes",
    ),
    Sampled(
        "engine/safety/lease.py",
        "        self._check_not_ended()\n        for _ in",
        "        for _ in",
        "engine/safety/test_lease_edges.py::about_to_renew",
    ),
    Sampled(
        "engine/safety/lease.py",
        "if self._ended or term.kept.expires_at is None:",
        "if term.kept.expires_at is None:",
        "engine/safety/test_lease_edges.py::nothing_left",
    ),
    # replay
    Sampled(
        "replay/chaining.py",
        "[fill for fill in fills if fill.at <= at] for",
        "[fill for fill in fills] for",
        "replay/test_chaining.py::had_decided",
    ),
    Sampled(
        "replay/chaining.py",
        "rest = order.ordered_units - sum(fill.units for fill in filled)",
        "rest = order.ordered_units",
        "replay/test_chaining.py::neither_fills",
    ),
    Sampled(
        "replay/chaining.py",
        "counted_then = filled_then and not worked",
        "counted_then = filled_then",
        "replay/test_chaining.py::neither_fills",
    ),
    Sampled(
        "replay/chaining.py",
        "            self.changed = [*self._settled, *self.changed]\n",
        "            pass\n",
        "replay/test_chaining_sums.py::earlier_session",
    ),
    Sampled(
        "replay/chaining.py",
        "reset_index(drop=True)",
        "reset_index()",
        "replay/test_chaining_books.py::begins_or_ends_to_work",
    ),
)
