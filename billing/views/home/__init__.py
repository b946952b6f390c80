"""The sections of the billing page: a module for each, with the function that gathers what its template shows.

A function gets the request, inside the organization's scope, and the time; it returns the template's context, or None
where the section has nothing to show. `billing_home.SECTIONS` puts them in order.
"""
