"""What schemathesis can't know of the service. Every exception to a check stands here, with its reason."""

import json
from itertools import count
from pathlib import Path

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData
from urllib3.util import connection

# What the document's schemas can't say: it depends on the provider, on the clock or on what is stored. A request that
# fits its schema may be refused for these members, by a 400 that points to one of them, and for no others.
MEMBERS_OF_NO_SCHEMA = {
    # What an id looks like, and which methods there are, each provider says for itself.
    "registerPayment": {"/provider_payment_id", "/method", "/paid_at"}
    # For one provider alone.
    | {"/provider_payment_reference", "/provider_credentials"},
    "createRefund": {"/provider_payment_id"},
    "previewRefund": {"/provider_payment_id"},
    # Later than the present end.
    "extendApproval": {"/expires_at"},
    # The body is the provider's own, and it alone describes it.
    "receiveWebhook": {""},
    "receiveEfiPixWebhook": {""},
}
# A cursor names something on the list, and one of the two is enough.
CURSORS = {"/starting_after", "/ending_before"}

# What two readers of JSON may read as two things is refused. One schema alone leaves room for it: the codec's, whose
# payloads are Temporal's to describe.
UNCLEAR_JSON = {
    "is a number that can not be kept as it is written",
    "is nested more than 32 levels deep",
    "The request can not be read as JSON.",
}

# A decision about money or time, not about the form of the request.
DECISIONS = {412, 422}


# A vote is for what the voter saw: by chance nobody would ever send the hash of the refund that is asked for.
HASHES = json.loads(Path(__file__).with_name("hashes.json").read_text())


@schemathesis.hook
def map_case(context, case):
    content_hash = HASHES.get((case.path_parameters or {}).get("id"))
    if content_hash and isinstance(case.body, dict) and isinstance(case.body.get("content_hash"), str):
        if case.meta is None or case.meta.generation.mode.is_positive:
            case.body["content_hash"] = content_hash
    return case


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if not isinstance(failure, RejectedPositiveData):
        return True
    if response.status_code in DECISIONS:
        return False
    if response.status_code != 400:
        return True
    errors = response.json()["errors"]
    if not errors:
        return True
    if case.path.startswith("/codec/"):
        return not {error["detail"] for error in errors} <= UNCLEAR_JSON
    operation_id = case.operation.definition.raw["operationId"]
    explained = MEMBERS_OF_NO_SCHEMA.get(operation_id, CURSORS if case.method == "GET" else set())
    return not {error["pointer"] for error in errors} <= explained


# Whoever shows wrong credentials is counted by address, and beyond a hundred a minute gets 429: each connection is
# another client of the loopback network, so that what is seen is the 401 of the document.
connect = connection.create_connection
clients = count(2)


def connect_as_another(address, *args, source_address=None, **options):
    number = next(clients)
    other = f"127.{number >> 16 & 127}.{number >> 8 & 255}.{number & 255}"
    return connect(address, *args, source_address=(other, 0), **options)


connection.create_connection = connect_as_another
