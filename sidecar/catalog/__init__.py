"""Which models there are, by models.json and by what was downloaded.

catalog      names and entries, checked
models_file  adds entries to models.json and leaves the rest as it was
json_places  where the values of a JSON text are, by line and position
downloaded   which models were downloaded, merged into the catalog
model_store  where archives are, and which version they hold
"""
