"""How the relay's settings are written."""

from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from outbox_relay.settings.faults import contradictions
from outbox_relay.settings.fields import DkimKeys, Domain, From, ProviderUrls, ReplyTo, Selectors
from outbox_relay.settings.look import (
    BrandColour,
    BrandLogoUrl,
    SupportAddress,
    ThemeFolder,
    brand_footer_field,
    brand_name_field,
    console_url_field,
)
from outbox_relay.settings.operators import OperatorAddresses, WebhookKey, WebhookUrl, operator_locale_field
from outbox_relay.settings.values import RelaySettings
from shared.settings import (
    Bind,
    DatabaseUrl,
    KeyRing,
    LogLevel,
    SettingsSchema,
    Switch,
    WebUrl,
    Whole,
)
from shared.vocabulary import Channel

LONGEST_KEPT_DAYS = 36_500
MOST_SMS = 1_000_000


class RelaySettingsSchema(SettingsSchema):
    """Name, meaning, unit, default and bounds of each, in the order of the docs."""

    result: ClassVar = RelaySettings

    database_url = DatabaseUrl(
        "DATABASE_URL", "Where the outbox is; log in as a member of signpost_relay.", is_secret=True
    )
    listen_database_url = DatabaseUrl(
        "LISTEN_DATABASE_URL",
        "Where to listen for wake-ups, if DATABASE_URL leads to a pooler: past it, to the server itself."
        " Without it, DATABASE_URL.",
        is_secret=True,
        default=None,
    )
    secret_keys = KeyRing(
        "SECRET_KEYS", "`id:base64,id:base64`; the first derives, all verify. The same as the API's.", is_secret=True
    )
    public_url = WebUrl("PUBLIC_URL", "What links in messages begin with.", unit="URL")
    email_providers = ProviderUrls(
        Channel.EMAIL,
        "EMAIL_PROVIDERS",
        "Tried in order: `smtp://user:pw@host:587?tls=starttls`, `smtps://…`, `console:`, `file:///directory`."
        " Without it, e-mails wait for a relay that has it.",
        unit="URLs, comma-separated",
        is_secret=True,
        default=None,
    )
    sms_providers = ProviderUrls(
        Channel.SMS,
        "SMS_PROVIDERS",
        "Tried in order: `https+json://token@host/path`, `twilio://sid:token@api.twilio.com?from=+1…`,"
        " `kannel://user:pw@host:13013?from=…`, `smpp://user:pw@host:3550?from=…`, `console:`, `file:///directory`."
        " Without it, SMS wait for a relay that has it.",
        unit="URLs, comma-separated",
        is_secret=True,
        default=None,
    )
    provision_database_url = DatabaseUrl(
        "PROVISION_DATABASE_URL",
        "The server on which organizations get a database of their own, past any pooler; log in as a role that may"
        " create databases. Without it, organizations wait for a relay that has it.",
        is_secret=True,
        default=None,
    )
    provision_connections = Whole(
        "PROVISION_CONNECTIONS",
        "Most connections of this relay to that server; an organization takes two while it is made.",
        unit="connections",
        default=8,
        bounds=(2, 200),
    )
    provision_grace_hours = Whole(
        "PROVISION_GRACE_HOURS",
        "How long what was half built of an organization that failed is kept before it is dropped.",
        unit="hours",
        default=24,
        bounds=(0, 8760),
    )
    provision_check_seconds = Whole(
        "PROVISION_CHECK_SECONDS",
        "How often each organization's database is looked at; an alarm expects looks within half an hour.",
        unit="seconds",
        default=900,
        bounds=(30, 1_800),
    )
    provision_checks_per_minute = Whole(
        "PROVISION_CHECKS_PER_MINUTE",
        "How many organizations' databases this relay looks at in a minute at most.",
        unit="databases",
        default=600,
        bounds=(12, 60_000),
    )
    sms_one_tap = Switch(
        "SMS_ONE_TAP",
        "Whether a code's SMS ends in a line by which phones offer the code to PUBLIC_URL's page, and to no other.",
        default=False,
    )
    email_from = From("EMAIL_FROM", "Who e-mails come from.", unit="`Name <address>`")
    reply_to = ReplyTo(
        "REPLY_TO",
        "Where answers to e-mails go. Without it, to the address in EMAIL_FROM.",
        unit="`Name <address>` or address",
        default=None,
    )
    dkim_domain = Domain(
        "DKIM_DOMAIN",
        "The domain that e-mails are signed for: that of EMAIL_FROM, or one above or below it. Without it, they are not"
        " signed here.",
        unit="domain",
        default=None,
    )
    dkim_selector = Selectors(
        "DKIM_SELECTOR",
        "Where the public key is published: `SELECTOR._domainkey.DKIM_DOMAIN`; as many as there are keys, in their"
        " order.",
        unit="names, comma-separated",
        default=None,
    )
    dkim_key = DkimKeys(
        "DKIM_KEY",
        "The private key in PEM form, RSA of 2048 to 4096 bits or Ed25519, or several one behind the other. Others must"
        " not be able to read its file.",
        default=None,
    )
    brand_name = brand_name_field()
    brand_colour = BrandColour()
    brand_logo_url = BrandLogoUrl()
    support_address = SupportAddress()
    brand_footer = brand_footer_field()
    theme_folder = ThemeFolder()
    console_url = console_url_field()
    bind = Bind(
        "RELAY_BIND", "Where /livez, /readyz and /metrics are served.", unit="host:port", default=("127.0.0.1", 8002)
    )
    batch_size = Whole(
        "RELAY_BATCH_SIZE",
        "Most messages claimed at a time; for each channel and urgency, up to twice as many are held.",
        unit="messages",
        default=500,
        bounds=(1, 5000),
    )
    lease_seconds = Whole(
        "RELAY_LEASE_SECONDS",
        "How long a claimed message is this relay's own.",
        unit="seconds",
        default=60,
        bounds=(2, 3600),
    )
    poll_seconds = Whole(
        "RELAY_POLL_SECONDS", "How often to look without having been woken.", unit="seconds", default=5, bounds=(1, 300)
    )
    late_seconds = Whole(
        "RELAY_LATE_SECONDS",
        "How long a message may be due, or a provider down, before something is wrong: operators are told, and /readyz"
        " fails unless providers or their rates keep the message back.",
        unit="seconds",
        default=300,
        bounds=(1, 86_400),
    )
    connections = Whole(
        "RELAY_CONNECTIONS",
        "Connections to each provider whose URL does not say; notices may take up half of them.",
        unit="connections",
        default=8,
        bounds=(1, 200),
    )
    send_seconds = Whole(
        "RELAY_SEND_SECONDS",
        "How long one attempt may take; at most a third of the lease.",
        unit="seconds",
        default=20,
        bounds=(1, 1800),
    )
    upkeep_seconds = Whole(
        "RELAY_UPKEEP_SECONDS",
        "How often the relay that holds the upkeep lease has a turn; in one of five, partitions are made and dropped.",
        unit="seconds",
        default=60,
        bounds=(1, 3600),
    )
    retention_days = Whole(
        "RELAY_RETENTION_DAYS",
        "How long settled messages and their attempts are kept, and up to six days longer, since they are dropped by "
        "the week; 0 is for ever. Erasing finds "
        "what was left under former addresses only if this is longer than RELAY_PENDING_USERS_DAYS.",
        unit="days",
        default=90,
        bounds=(0, LONGEST_KEPT_DAYS),
    )
    actions_retention_days = Whole(
        "RELAY_ACTIONS_RETENTION_DAYS",
        "How long it is kept which operator did what; at least as long as messages are.",
        unit="days",
        default=365,
        bounds=(90, LONGEST_KEPT_DAYS),
    )
    pending_users_days = Whole(
        "RELAY_PENDING_USERS_DAYS",
        "How long users who never activated are kept after their last token has expired, and failed organizations "
        "after their last user and their database are gone; 0 is for ever.",
        unit="days",
        default=30,
        bounds=(0, LONGEST_KEPT_DAYS),
    )
    sms_fallback_per_number = Whole(
        "SMS_FALLBACK_PER_NUMBER",
        "How many messages may fall back to SMS to one number, of all relays together.",
        unit="messages a day (UTC)",
        default=2,
        bounds=(0, MOST_SMS),
    )
    sms_fallback_per_prefix = Whole(
        "SMS_FALLBACK_PER_PREFIX",
        "The same for all numbers of one country prefix.",
        unit="messages a day (UTC)",
        default=50,
        bounds=(0, MOST_SMS),
    )
    sms_fallback_total = Whole(
        "SMS_FALLBACK_TOTAL",
        "The same for all numbers; 0 means none at all.",
        unit="messages a day (UTC)",
        default=100,
        bounds=(0, MOST_SMS),
    )
    operator_addresses = OperatorAddresses()
    operator_webhook_url = WebhookUrl()
    operator_webhook_key = WebhookKey()
    operator_locale = operator_locale_field()
    log_level = LogLevel()

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _fits_together(self, settings: dict[str, Any], written: dict[str, str], **_more: Any) -> None:
        if faults := contradictions(settings, written.keys()):
            raise ValidationError(faults)
