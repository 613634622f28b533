"""Which models there are, by models.json and by what was downloaded.

catalog         names and entries, checked
downloaded      which models were downloaded, merged into the catalog
model_store     where archives lie, and which version they hold
"""
