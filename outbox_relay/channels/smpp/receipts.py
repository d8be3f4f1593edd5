"""Delivery receipts in a deliver_sm. Section numbers are those of SMPP 3.4 issue 1.2."""

import re
from dataclasses import dataclass
from enum import StrEnum

from outbox_relay.channels.smpp.connection import MESSAGE_PAYLOAD, OPTION
from shared.reports.receipts import STATES_BY_NUMBER, fields_of, verdict_of
from shared.reports.report import DeliveryReport, ReportSource

RECEIPTED_MESSAGE_ID, MESSAGE_STATE, NETWORK_ERROR_CODE = 0x001E, 0x0427, 0x0423
"""Optional parameters of a receipt (§5.3.2.12, §5.3.2.35, §5.3.2.31)."""
MESSAGE_TYPE, RECEIPT, INTERMEDIATE = 0x3C, 0x04, 0x20
"""Bits of esm_class (§5.2.12): their mask, a receipt, and a notification on the way."""
_WITH_LETTERS = re.compile(r"(?=.*[a-f])[0-9a-f]{1,16}", re.IGNORECASE | re.ASCII)
_HEXADECIMAL = re.compile(r"[0-9a-f]{1,16}", re.IGNORECASE | re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,20}", re.ASCII)
_NETWORK_ERROR_BYTES = 3


class IdForm(StrEnum):
    """How ids in receipts differ from those in responses; the values of the URL's option ``receipts``.

    Some SMSCs write an id in hexadecimal in the response and in decimal in the receipt. An id with letters from A to F
    is hexadecimal, so it is stored in decimal in any case. Only the SMSC's operator knows about an id of digits.
    """

    SAME = "yes"
    DECIMAL = "decimal"


@dataclass(frozen=True)
class Receipt:
    """A receipt: ids from the optional parameter and from the text, the state, the network's error code, and dates.

    ``dates`` are those of the submission and of the state, as the SMSC writes them.
    """

    parameter_id: str
    text_id: str
    state: str
    error: str
    dates: str

    def report(self, provider: str, form: IdForm) -> DeliveryReport | None:
        """Return the report, or None if the receipt is no news or has no id.

        Without the text: it quotes the start of the message, which may contain the code.
        """
        verdict, message_id = verdict_of(self.state), self._message_id(form)
        if verdict is None or not message_id:
            return None
        return DeliveryReport(
            kind=verdict.kind,
            source=ReportSource.SMPP,
            provider=provider,
            provider_message_id=message_id,
            cause=verdict.cause,
            is_permanent=verdict.is_permanent,
            status_code=f"{self.state} {self.error}".strip()[:40],
            dates=self.dates,
        )

    def _message_id(self, form: IdForm) -> str:
        """Return the id as ``stored_id`` returns it for the response. The parameter has the response's form."""
        if form is IdForm.DECIMAL and _DECIMAL.fullmatch(self.text_id):
            return str(int(self.text_id))
        return stored_id(self.parameter_id or self.text_id, form)


def stored_id(response_id: str, form: IdForm) -> str:
    """Return the id of a response in the form in which it is stored, and compared with those of receipts."""
    pattern = _HEXADECIMAL if form is IdForm.DECIMAL else _WITH_LETTERS
    return str(int(response_id, 16)) if pattern.fullmatch(response_id) else response_id


def receipt_in(body: bytes) -> Receipt | None:
    """Return the receipt in the body of a deliver_sm (§4.6.1), or None if it is a person's message.

    Raises ValueError if the body is not one of a deliver_sm.
    """
    esm_class, text, options = _parts(body)
    if esm_class & MESSAGE_TYPE not in (RECEIPT, INTERMEDIATE):
        return None
    fields = fields_of((text or options.get(MESSAGE_PAYLOAD, b"")).decode("latin-1"))
    state = options.get(MESSAGE_STATE, b"\0")[:1]
    network_error = options.get(NETWORK_ERROR_CODE, b"")
    has_error = len(network_error) == _NETWORK_ERROR_BYTES
    return Receipt(
        parameter_id=_printable(options.get(RECEIPTED_MESSAGE_ID, b"")),
        text_id=fields.get("id", ""),
        state=STATES_BY_NUMBER.get(state[0] if state else 0) or fields.get("stat", "").upper(),
        error=fields.get("err") or (str(int.from_bytes(network_error[1:])) if has_error else ""),
        dates=f"{fields.get('submit date', '')} {fields.get('done date', '')}",
    )


def _parts(body: bytes) -> tuple[int, bytes, dict[int, bytes]]:
    """Return esm_class, short_message and the optional parameters."""
    try:
        _, rest = _c_octets(body)  # service_type
        for _ in range(2):  # source and destination: type of number, numbering plan, address
            _, rest = _c_octets(rest[2:])
        esm_class, rest = rest[0], rest[3:]  # also protocol_id and priority_flag
        for _ in range(2):  # schedule_delivery_time, validity_period
            _, rest = _c_octets(rest)
        length, rest = rest[4], rest[5:]  # after registered_delivery, replacing, data_coding, sm_default_msg_id
    except IndexError:
        raise ValueError("the deliver_sm is too short") from None
    return esm_class, rest[:length], _options(rest[length:])


def _c_octets(octets: bytes) -> tuple[bytes, bytes]:
    text, end, rest = octets.partition(b"\0")
    if not end:
        raise ValueError("a field of the deliver_sm has no end")
    return text, rest


def _options(octets: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(octets) >= OPTION.size:
        tag, length = OPTION.unpack_from(octets)
        found[tag] = octets[OPTION.size : OPTION.size + length]
        octets = octets[OPTION.size + length :]
    return found


def _printable(octets: bytes) -> str:
    text = octets.partition(b"\0")[0].decode("latin-1")
    return "".join(character for character in text if character.isprintable())[:65]
