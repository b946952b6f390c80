"""Numbers in Chinese grouped by thousands, as amounts of Tokens and money are."""

THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
