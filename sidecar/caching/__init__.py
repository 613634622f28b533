"""Answers that are given more than once.

answer_cache   the newest answers, bounded in bytes and age (pure)
result_cache   results of deterministic models, each computed once and kept
single_flight  computes equal questions that come at the same time only once
snapshot       a page that is computed at most once a second
shared_look    one look at something outside, shared by all who ask at the same time
lookups        how often the caches had the answer
"""
