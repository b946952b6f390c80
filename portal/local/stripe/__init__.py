"""A local stand-in for Stripe: its API, its hosted pages and its signed webhooks, without an account or a network.

A program of its own that shares no code with the product: the product reaches it by HTTP alone, as it reaches Stripe.
"""
