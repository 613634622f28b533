"""A plain function: no class at all."""


def handle(data, context):
    if data is None:
        return None
    return [str(row.get("body")) for row in data]
