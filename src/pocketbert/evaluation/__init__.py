"""Scoring answers: labeled records, metrics, and a model's score on the records."""
