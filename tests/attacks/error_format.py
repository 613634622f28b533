"""The one format that every error of the API has."""

from tests.attacks.raw_http import Answer

KINDS = {"success": bool, "error": str, "detail": str, "status_code": int}


def fault_of_error(answer: Answer) -> str:
    """What is wrong with the body of a refusal; empty: nothing."""
    try:
        body = answer.json()
    except ValueError:
        return f"status {answer.status} is no JSON: {answer.body[:100]!r}"
    right = isinstance(body, dict) and all(
        isinstance(body.get(name), kind) for name, kind in KINDS.items()
    )
    if not right or body["success"] or body["status_code"] != answer.status:
        return f"status {answer.status} is not in the one format: {answer.body[:200]!r}"
    return "" if "Traceback" not in str(body) else f"a traceback: {answer.body[:200]!r}"
