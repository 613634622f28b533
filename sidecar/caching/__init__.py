"""Answers that are given more than once.

answer_cache   the newest answers, bounded in bytes and age
result_cache   results of deterministic models, kept and computed once
single_flight  equal questions at the same time are computed once
snapshot       a page that is computed once a second at most
lookups        how often the caches had the answer
"""
