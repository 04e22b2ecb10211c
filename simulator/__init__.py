"""Splitwire: real split training in virtual time."""
