"""The tax of the stand-in: one round rate a country, so that totals with tax can be seen. Not tax advice."""

from __future__ import annotations

# Per cent by the customer's country; every other country has none.
RATES = {"AU": 10, "CA": 5, "CN": 6, "DE": 19, "ES": 21, "FR": 20, "GB": 20, "HK": 0, "IT": 22, "JP": 10, "NL": 21}
RATES |= {"SG": 9, "US": 0}
COUNTRIES = {
    "AU": "Australia",
    "CA": "Canada",
    "CN": "China",
    "DE": "Germany",
    "ES": "Spain",
    "FR": "France",
    "GB": "United Kingdom",
    "HK": "Hong Kong",
    "IT": "Italy",
    "JP": "Japan",
    "NL": "Netherlands",
    "SG": "Singapore",
    "US": "United States",
}
TAX_ID_TYPES = {
    "cn_tin": "China, TIN",
    "eu_vat": "European Union, VAT",
    "gb_vat": "United Kingdom, VAT",
    "us_ein": "United States, EIN",
    "jp_cn": "Japan, corporate number",
    "hk_br": "Hong Kong, BR",
    "au_abn": "Australia, ABN",
    "sg_uen": "Singapore, UEN",
}


def tax_of(amount: int, country: str | None, *, inclusive: bool = False) -> int:
    """Return the tax on an amount, both in minor units, rounded half up; `inclusive`: the amount holds it already."""
    rate = RATES.get(country or "", 0)
    whole = 100 + rate if inclusive else 100
    sign = -1 if amount < 0 else 1
    return sign * ((2 * abs(amount) * rate + whole) // (2 * whole))
