"""Strict parsing of settings, one function for each kind of value.

Each takes the setting's name and its text and raises ``ConfigurationError`` for text that it can't read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from engine.errors import ConfigurationError
from engine.model.field_names import field_named
from engine.model.schema import SYMBOL_PATTERN, TEXT_LENGTH
from engine.model.symbols import canonical_symbol
from engine.settings.paths import as_path
from engine.text.masking import is_key, shown_text, shown_word
from engine.text.plain_text import NORMAL, VISIBLE, is_plain, trimmed

ON_WORDS = frozenset({"1", "true", "yes", "on"})
OFF_WORDS = frozenset({"0", "false", "no", "off"})
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
SIGNIFICANT_DIGITS = 15
DECIMALS = 9
DECIMALS_OF_USD = 6
"""Decimals of an amount of money: its unit is 1e-6 USD."""
_SHORTEST_TIMEOUT_S, _LONGEST_TIMEOUT_S = 0.1, 600
_SIZE_DIGITS = 12
LONGEST_S = 1e9
"""About 31 years: in effect no limit, and far from the largest date."""

_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Names in a time zone database that differ between machines, or have no meaning."""

PRICE_FEEDS = ("sip", "iex", "delayed_sip", "otc", "boats", "overnight")
"""The feeds of Alpaca's latest quotes. Source: parameter ``feed`` of ``GET /v2/stocks/snapshots``."""
ALPACA, INTENTS = "alpaca", "intents"
"""The sources of prices that are no file."""
TABLE_ENDINGS = (".csv", ".parquet")
"""Suffixes of the files that prices and volumes are read from."""

Projection = Literal["worst_case", "net"]
PROJECTIONS = ("worst_case", "net")


def as_flag(name: str, text: str) -> bool:
    """Return whether a setting is on."""
    word = text.strip().lower()
    if word in ON_WORDS:
        return True
    if word in OFF_WORDS:
        return False
    raise ConfigurationError(
        f"{name} is {shown_word(text)}; expected 1, true, yes or on, or 0, false, no or off. "
        f"Nothing runs until it is one of these, or unset."
    )


def as_quantity(name: str, text: str) -> float:
    """Return a quantity that a float64 carries exactly, 0 to below 1e9."""
    word = text.strip()
    number = Decimal(word) if _DECIMAL.fullmatch(word) else Decimal("NaN")
    if not number.is_finite() or number >= Decimal(10) ** 9 or not _representable(number):
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected a number from 0 to below 1e9 with at most "
            f"{DECIMALS} decimals and "
            f"{SIGNIFICANT_DIGITS} significant digits. Write it as, say, 100 or 0.5."
        )
    return float(number)


def _representable(number: Decimal, decimals: int = DECIMALS) -> bool:
    """Return whether a float64 carries the number exactly, by its digits without outer zeros."""
    _, digits, exponent = number.as_tuple()
    significant = "".join(map(str, digits)).strip("0")
    behind_the_point = -int(exponent) - (len(digits) - len("".join(map(str, digits)).rstrip("0")))
    return not significant or (behind_the_point <= decimals and len(significant) <= SIGNIFICANT_DIGITS)


def as_usd(name: str, text: str) -> float:
    """Return an amount of US dollars, 0 to below 1e12, of at most 6 decimals and 15 significant digits."""
    word = text.strip()
    number = Decimal(word) if _DECIMAL.fullmatch(word) else Decimal("NaN")
    if not number.is_finite() or number >= Decimal(10) ** 12 or not _representable(number, DECIMALS_OF_USD):
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected US dollars from 0 to below 1e12 with at most "
            f"{DECIMALS_OF_USD} decimals and {SIGNIFICANT_DIGITS} significant digits. Write it as, say, 250."
        )
    return float(number)


def as_buffer(name: str, text: str) -> float:
    """Return a part of a whole that is set aside, in percent: 0 to 100."""
    percent = as_quantity(name, text)
    if percent > 100:
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected percent from 0 to 100. Write it as, say, 5."
        )
    return percent


def as_count(name: str, text: str) -> int:
    """Return a whole number, 0 included."""
    if not text.strip().isascii() or not text.strip().isdigit() or len(text.strip()) > DECIMALS:
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected a whole number from 0 to 999999999. Write it "
            f"as, say, 50."
        )
    return int(text)


def as_size(name: str, text: str) -> int:
    """Return a whole number above 0, such as a number of bytes or rows."""
    word = text.strip()
    if not word.isascii() or not word.isdigit() or len(word) > _SIZE_DIGITS or not int(word):
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected a whole number from 1 to {10**_SIZE_DIGITS - 1}. "
            f"Write it in digits, such as 1000000."
        )
    return int(word)


def as_seconds(name: str, text: str) -> float:
    """Return a number of seconds, finite and 0 or more."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_S or "_" in text:
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected a number of seconds from 0 to {LONGEST_S:g}. "
            f"Write it as, say, 2 or 0.5."
        )
    return seconds


def as_ratio(name: str, text: str) -> float:
    """Return a number above 0 and below 1e9, such as a multiple of what is usual."""
    ratio = as_quantity(name, text)
    if ratio == 0:
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected a number above 0. Write it as, say, 5."
        )
    return ratio


def as_fraction(name: str, text: str) -> float:
    """Return a number from 0 to 1, such as 0.01 for 1 %."""
    fraction = as_quantity(name, text)
    if fraction > 1:
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected a fraction from 0 to 1. Write 1 % as 0.01."
        )
    return fraction


def as_price_source(name: str, text: str) -> str:
    """Return a source of prices: alpaca, intents, or the path of a CSV or Parquet file."""
    word = text.strip().lower()
    if word in {ALPACA, INTENTS}:
        return word
    path = as_path(name, text)
    if not path.lower().endswith(TABLE_ENDINGS):
        raise ConfigurationError(
            f"{name} is {shown_text(text)}; expected {ALPACA}, {INTENTS}, or the path of a file that ends in "
            f"{' or '.join(TABLE_ENDINGS)}. Write one of these, or unset it."
        )
    return path


def as_price_feed(name: str, text: str) -> str:
    """Return the name of a feed of Alpaca's quotes."""
    return one_of(*PRICE_FEEDS)(name, text)


def as_table_path(name: str, text: str) -> str:
    """Return the path of a CSV or Parquet file."""
    path = as_path(name, text)
    if not path.lower().endswith(TABLE_ENDINGS):
        raise ConfigurationError(
            f"{name} is {shown_text(text)}; expected the path of a file that ends in "
            f"{' or '.join(TABLE_ENDINGS)}. Name such a file, or unset it."
        )
    return path


def as_projection(name: str, text: str) -> str:
    """Return the name of a position projection."""
    word = text.strip().lower()
    if word not in PROJECTIONS:
        raise ConfigurationError(f"{name} is {shown_word(text)}; expected worst_case or net.")
    return word


def as_metadata_names(name: str, text: str) -> tuple[str, ...]:
    """Return names in metadata, from a list with commas; each once, none of them a field of an intent."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(names):
        raise ConfigurationError(
            f"{name} is {shown_text(text)}; expected names with commas between them. Write it as, say, "
            f"generated_at,seed."
        )
    fields = [one for one in names if field_named(one)]
    if fields:
        raise ConfigurationError(
            f"{name} is {shown_text(text)}; expected names in metadata, and {fields[0]} is a field of "
            f"an intent, which always identifies a row. Leave it out."
        )
    return names


def as_text(name: str, text: str) -> str:
    """Return text that is not blank, trimmed."""
    if not text.strip():
        raise ConfigurationError(f"{name} is blank; write a value, or unset it.")
    return text.strip()


def as_name(name: str, text: str) -> str:
    """Return a name, trimmed, of visible characters only."""
    value = trimmed(text)
    _refuse_key(name, value)
    if not 0 < len(value) <= TEXT_LENGTH or not is_plain(value):
        raise ConfigurationError(
            f"{name} is {shown_text(text)}; expected 1 to {TEXT_LENGTH} characters, {VISIBLE}, "
            f"{NORMAL}. Type it anew, or unset it."
        )
    return value


def as_timeout(name: str, text: str) -> float:
    """Return the timeout of a request in seconds."""
    seconds = as_seconds(name, text)
    if not _SHORTEST_TIMEOUT_S <= seconds <= _LONGEST_TIMEOUT_S:
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected a number of seconds from {_SHORTEST_TIMEOUT_S} to "
            f"{_LONGEST_TIMEOUT_S}: no run may wait for ever. Write it as, say, 10."
        )
    return seconds


def as_wait(name: str, text: str) -> float:
    """Return how many seconds a run may wait."""
    seconds = as_seconds(name, text)
    if not seconds <= _LONGEST_TIMEOUT_S:
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected a number of seconds from 0 to "
            f"{_LONGEST_TIMEOUT_S}: no run may "
            f"wait for ever. Write it as, say, 30."
        )
    return seconds


def as_zone(name: str, text: str) -> str:
    """Return the IANA name of a time zone."""
    zone = text.strip()
    if zone not in available_timezones() - _NO_ZONES:
        raise ConfigurationError(
            f"{name} is {shown_text(text)}; expected the IANA name of a time zone. Write it as, say, "
            f"America/New_York, Europe/Berlin or UTC; where it is such a name, install the package tzdata."
        )
    return zone


def has_zone(zone: str) -> bool:
    """Return whether this machine's time zone database has a zone."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def as_database_url(name: str, text: str) -> str:
    """Return an address that libpq accepts; messages never show it, since it may hold a password."""
    url = text.strip()
    scheme, found, _ = url.partition("://")
    if (found and scheme not in {"postgres", "postgresql"}) or (not found and "=" not in url):
        raise ConfigurationError(
            f"{name} is no address of a PostgreSQL database; expected "
            f"postgresql://user:password@host/database (without a driver such as +psycopg2 in it)."
        )
    return url


def as_store(name: str, text: str) -> str:
    """Return the name of a store that a live run may use."""
    word = text.strip().lower()
    if word != "embedded":
        raise ConfigurationError(
            f"{name} is {shown_word(text)}; expected embedded, which says that a live run may "
            f"keep positions or ledger "
            f"in the data folder. Unset it to use DATABASE_URL and a Firestore project."
        )
    return word


def _refuse_key(name: str, text: str) -> None:
    """Refuse a key or secret in place of a name, since names are recorded and shown."""
    if is_key(text):
        raise ConfigurationError(
            f"{name} is {shown_text(text)}: it looks like a key or secret; expected a name. Unset it, and "
            f"have the key replaced where others may have seen it."
        )


def as_path_part(name: str, text: str) -> str:
    """Return one part of a Firestore path."""
    part = trimmed(text)
    _refuse_key(name, part)
    unusable = not part or "/" in part or part in {".", ".."} or re.fullmatch("__.*__", part)
    if unusable or not is_plain(part):
        raise ConfigurationError(
            f"{name} is {shown_text(text)}; expected one part of a Firestore path: a name without a "
            f"slash, {VISIBLE}, such as acme."
        )
    return part


def as_document(name: str, text: str) -> str:
    """Return the path of a Firestore document."""
    path = text.strip().strip("/")
    parts = path.split("/")
    if len(parts) % 2 or not all(parts):
        raise ConfigurationError(
            f"{name} is {shown_text(text)}; expected the path of a Firestore document, "
            f"collection/document, such as "
            f"ops/market_ingest."
        )
    return path


def as_names(name: str, given: str | Collection[str]) -> frozenset[str]:
    """Return names, from text with commas between them or from a list; each trimmed.

    A name that is empty, invisible in part, or not in Unicode's normal form is refused.
    """
    names = given.split(",") if isinstance(given, str) else list(given)
    if not all(isinstance(one, str) for one in names):
        raise ConfigurationError(f"{name} is {shown_word(given)}; expected a list of names.")
    kept = [trimmed(one) for one in names]
    for one in kept:
        if not one or not is_plain(one) or len(one) > TEXT_LENGTH:
            raise ConfigurationError(
                f"{name} has {shown_text(one)} among its names; expected {VISIBLE}, {NORMAL}, of at most "
                f"{TEXT_LENGTH} characters. Correct it, or take it out."
            )
    return frozenset(kept)


def as_symbols(name: str, given: str | Collection[str]) -> frozenset[str]:
    """Return symbols in their canonical form, from text with commas between them or from a list."""
    symbols = frozenset(canonical_symbol(one) for one in as_names(name, given))
    for one in sorted(symbols):
        if not re.fullmatch(SYMBOL_PATTERN, one):
            raise ConfigurationError(
                f"{name} has {shown_word(one)} among its symbols; expected 1 to 32 of A-Z 0-9 . / -. "
                f"Correct it, or take it out."
            )
    return symbols


def one_of(*words: str) -> Callable[[str, str], str]:
    """Return a parser of one word of a list, in any case."""

    def parse(name: str, text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ConfigurationError(f"{name} is {shown_word(text)}; expected {' or '.join(words)}.")
        return word

    return parse


def some_of(*words: str) -> Callable[[str, str | Collection[str]], frozenset[str]]:
    """Return a parser of some words of a list, in any case."""

    def parse(name: str, given: str | Collection[str]) -> frozenset[str]:
        found = frozenset(one.lower() for one in as_names(name, given))
        wrong = sorted(found.difference(words))
        if wrong:
            raise ConfigurationError(
                f"{name} has {shown_word(wrong[0])} in its list; expected some of {', '.join(words)}."
            )
        return found

    return parse
