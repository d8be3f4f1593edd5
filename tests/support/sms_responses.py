"""The responses of Twilio and Kannel for a fake HTTP gateway, from their documentation.

Twilio's magic numbers come from its test credentials:
https://www.twilio.com/docs/iam/test-credentials#test-sms-messages
"""

import json
from base64 import b64encode

from tests.support.http_gateway import Request, answer

ACCOUNT, TOKEN = "AC1", "t/ken"
KANNEL_USER, KANNEL_PASSWORD = "us", "p&ss"

TWILIO_MAGIC = {
    "+15005550001": (21211, "Invalid 'To' Phone Number"),
    "+15005550002": (21612, "The 'To' phone number is not currently reachable"),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region"),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "'To' number is not a valid mobile number"),
}


def twilio_accepted(sid: str = "SM1") -> bytes:
    return answer(201, json.dumps({"sid": sid, "status": "queued", "error_code": None}).encode())


def twilio_refused(status: int, code: int, message: str, **headers: str) -> bytes:
    return answer(status, json.dumps({"code": code, "message": message, "status": status}).encode(), **headers)


def twilio(request: Request) -> bytes:
    """Respond as Twilio does."""
    credentials = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    fields = request.fields
    reasons = (
        (request.headers.get("authorization") == f"Basic {credentials}", (401, 20003, "Authenticate")),
        (request.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", (404, 20404, "Not found")),
        (fields.keys() & {"From", "MessagingServiceSid"}, (400, 21603, "A 'From' phone number is required")),
        (fields.get("Body"), (400, 21602, "Message body is required")),
        (fields.get("To") not in TWILIO_MAGIC, (400, *TWILIO_MAGIC.get(fields.get("To", ""), (0, "")))),
    )
    return next((twilio_refused(*refusal) for is_right, refusal in reasons if not is_right), twilio_accepted())


KANNEL_ACCEPTED = answer(202, b"0: Accepted for delivery")
KANNEL_QUEUED = answer(202, b"3: Queued for later delivery")
NOT_ROUTABLE = answer(403, b"Not routable. Do not try again.")
DENIED = answer(400, b"Number(s) has/have been denied by white- and/or black-lists.")
TEMPORAL_FAILURE = answer(503, b"Temporal failure, try again later.")


def kannel(request: Request) -> bytes:
    """Respond as Kannel's smsbox does."""
    fields = request.fields
    credentials = (fields.get("username"), fields.get("password"))
    reasons = (
        (request.path == "/cgi-bin/sendsms", answer(404, b"Unknown request.")),
        (credentials == (KANNEL_USER, KANNEL_PASSWORD), answer(403, b"Authorization failed for sendsms")),
        (fields.get("to"), answer(400, b"Empty receiver number not allowed, rejected")),
        (fields.get("to") not in TWILIO_MAGIC, DENIED),
        ("from" in fields, answer(400, b"Sender missing and no global set, rejected")),
    )
    return next((refusal for is_right, refusal in reasons if not is_right), KANNEL_ACCEPTED)
