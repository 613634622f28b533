"""Which models there are, by models.json and by what was downloaded.

catalog          every model there is, and the names by which people ask for it
entries          the entries of models.json, checked one by one
handler_options  what an entry may ask of its handler
entry_files      what can be seen of an entry's files without loading them
models_file      adds entries to models.json and leaves the rest as it was
json_places      where the values of a JSON text are, by line and position
downloaded       which models were downloaded, merged into the catalog
own_archives     archives with custom handlers
torchserve_config a config.properties of TorchServe's, taken over
model_store      where archives are, and which version they hold
"""
