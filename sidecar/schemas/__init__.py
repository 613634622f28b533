"""The shapes of requests, responses and models.json: type, check and document in one."""
