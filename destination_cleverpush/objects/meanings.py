"""What texts mean, as data: the docs hold the same tables, and a test compares them.

All words are in lower case, as :func:`destination_cleverpush.objects.values.word` makes them. They are those that
programming languages, databases, their exports and spreadsheets write by themselves.
"""

from __future__ import annotations

EDGES = (
    " \t\n\r\v\f\0\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"  # blanks, and the zero byte that fills fixed lengths
    "\xad\u180e\u200b\u200c\u200d\u2060\ufeff"  # without width; the last is the byte order mark
    "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # of direction, as address books add them
)
"""Signs that are dropped at the ends of texts, since nobody sees them."""

WORDS_FOR_NOTHING = frozenset(
    {
        *("null", "none", "nil", "undefined", "nan", "-nan", "nat", "n/a", "<na>", "#n/a", "#n/a n/a", "#na"),
        *("<null>", "(null)", "[null]", "{null}", "<none>", "(none)", "<nil>", "(nil)", "<undefined>", "\\n"),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    }
)
"""Null, of languages and databases: no ID, no item of a list, and not removed."""

EMPTY_CELLS = frozenset(
    {"", "na", "-", "--", "---", "\u2013", "\u2014", ".", "(empty)", "(blank)", "[]", "{}", "()", "''", '""'}
)
"""An empty cell of reports and spreadsheets: no ID, and not removed. An item of a list may be called so."""

WORDS_FOR_NO = frozenset(
    {
        *("false", "f", "no", "n", "off", "b'0'", "b'\\x00'"),
        *("falsch", "nein", "faux", "non", "falso", "onwaar", "nee"),  # as spreadsheets in other languages
    }
)
"""In the removed marker: not removed. So is every text that reads as the number 0."""

ENDLESS = frozenset({"infinity", "+infinity", "-infinity", "inf", "+inf", "-inf"})
"""Moments of Postgres that never come, or never were. In the removed marker: not removed."""

WORDS_FOR_REMOVED = frozenset(
    {
        *("true", "t", "yes", "y", "on", "deleted", "removed", "b'1'", "b'\\x01'", "\x01"),
        *("wahr", "ja", "vrai", "oui", "verdadero", "vero", "waar"),
    }
)
"""In the removed marker: removed. So is every text that reads as the number 1, and a moment.

The list is closed, for removing cannot be undone. `delete` is not in it: a stream of changes in Snowflake writes it for
the old half of an update, too.
"""

SEPARATORS = (",", ";", "|", "\n", "\t", "\x02")
"""What separates the items of a list in plain text: the first of these that is in the text, and no other."""
