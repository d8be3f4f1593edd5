"""What an SMPP command_status says about whose fault it was; a table, no IO.

Source: SMPP 3.4 issue 1.2, §5.1.3. From 0x400 on a status means what its SMSC likes, and so is the provider's.
"""

from smpplib import consts

from outbox_relay.model import FailureClass

OK: int = consts.SMPP_ESME_ROK
INVALID_COMMAND: int = consts.SMPP_ESME_RINVCMDID

_NAMES: dict[int, str] = {
    value: name.removeprefix("SMPP_") for name, value in vars(consts).items() if name.startswith("SMPP_ESME_")
}
_KINDS: dict[int, FailureClass] = {
    consts.SMPP_ESME_RINVDSTADR: FailureClass.RECIPIENT,
    consts.SMPP_ESME_RINVMSGLEN: FailureClass.CONTENT,
    # The one optional parameter that we ever send is message_payload, which holds a long text.
    consts.SMPP_ESME_ROPTPARNOTALLWD: FailureClass.CONTENT,
    consts.SMPP_ESME_RINVPARLEN: FailureClass.CONTENT,
    consts.SMPP_ESME_RINVOPTPARAMVAL: FailureClass.CONTENT,
    consts.SMPP_ESME_RSUBMITFAIL: FailureClass.TRANSIENT,  # said of one message, without a reason
    consts.SMPP_ESME_RX_T_APPN: FailureClass.TRANSIENT,
    consts.SMPP_ESME_RDELIVERYFAILURE: FailureClass.TRANSIENT,
}
_ABOUT_US: frozenset[int] = frozenset({
    consts.SMPP_ESME_RINVCMDID,
    consts.SMPP_ESME_RINVBNDSTS,
    consts.SMPP_ESME_RALYBND,
    consts.SMPP_ESME_RINVSRCADR,
    consts.SMPP_ESME_RBINDFAIL,
    consts.SMPP_ESME_RINVPASWD,
    consts.SMPP_ESME_RINVSYSID,
    consts.SMPP_ESME_RMSGQFUL,
    consts.SMPP_ESME_RINVSERTYP,
    consts.SMPP_ESME_RINVSRCTON,
    consts.SMPP_ESME_RINVSRCNPI,
    consts.SMPP_ESME_RINVSYSTYP,
    consts.SMPP_ESME_RTHROTTLED,
})  # fmt: skip


def from_command_status(status: int) -> FailureClass:
    """Classify a status other than OK; what is not in the table is the provider's fault."""
    return _KINDS.get(status, FailureClass.PROVIDER)


def is_about_us(status: int) -> bool:
    """Tell whether a status says nothing of the letter: it is about our account, our sender or our pace."""
    return status in _ABOUT_US


def status_name(status: int) -> str:
    """Return what operators look a status up by."""
    return f"{_NAMES.get(status, 'SMSC error')} (0x{status:08X})"
