"""Pairing of colour and depth frames: clock estimate, policies, the pairer and its ledger."""
