"""The forms that errors of the API have: our own, OpenAI's, or the Open Inference Protocol's."""

from typing import Any

from tests.attacks.raw_http import Answer

KINDS = {"success": bool, "error": str, "detail": str, "status_code": int}
OPENAI_KINDS = {"message": str, "type": str, "param": str | None, "code": str | None}


def fault_of_error(answer: Answer) -> str:
    """What is wrong with the body of a refusal; empty: nothing."""
    try:
        body = answer.json()
    except ValueError:
        return f"status {answer.status} is not JSON: {answer.body[:100]!r}"
    if not isinstance(body, dict) or not (
        _is_ours(body, answer.status) or _is_openais(body) or _is_open_inferences(body)
    ):
        return f"status {answer.status} is not in the one format: {answer.body[:200]!r}"
    return "" if "Traceback" not in str(body) else f"a traceback: {answer.body[:200]!r}"


def _is_ours(body: dict[str, Any], status: int) -> bool:
    return (
        all(isinstance(body.get(name), kind) for name, kind in KINDS.items())
        and not body["success"]
        and body["status_code"] == status
    )


def _is_openais(body: dict[str, Any]) -> bool:
    facts = body.get("error")
    return isinstance(facts, dict) and all(
        name in facts and isinstance(facts[name], kind) for name, kind in OPENAI_KINDS.items()
    )


def _is_open_inferences(body: dict[str, Any]) -> bool:
    return body.keys() == {"error"} and isinstance(body["error"], str)
