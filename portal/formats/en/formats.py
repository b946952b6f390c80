"""Dates in English as the browser writes them beside these: `Dec 10, 2027`, and hours to 24."""

DATE_FORMAT = "M j, Y"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "M j, Y, H:i"
SHORT_DATE_FORMAT = "M j, Y"
