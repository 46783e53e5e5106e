"""Alerts by e-mail: the alert's text, under an id that stays the same over all attempts."""

import asyncio
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from monitor.channels.base import news
from monitor.settings import Settings
from monitor.store.webhooks import Delivery

SCHEME = "mailto:"


def compose(delivery: Delivery, settings: Settings) -> EmailMessage:
    """Make the message of a delivery."""
    event = delivery.body
    data = event.get("data", {})
    message = EmailMessage()
    message["From"] = settings.smtp_sender
    message["To"] = delivery.url.removeprefix(SCHEME)
    message["Date"] = format_datetime(datetime.fromisoformat(event["timestamp"]))
    message["Message-ID"] = f"<{delivery.id}@leadsman>"
    message["Auto-Submitted"] = "auto-generated"
    if "what" in data:
        # Mail readers put what is about one alert into one thread.
        message["References"] = f"<alert-{data['alert']}@leadsman>"
        # A name of a feature may hold the end of a line, which would be the end of the header.
        title = " ".join(data["title"].split())
        message["Subject"] = f"[{news(event)}, {data['tier']}] {title}"
        message.set_content(data["text"])
    else:
        message["Subject"] = "[test] Leadsman can reach you"
        message.set_content(f"A test by {data.get('by', 'the monitor')}. Nothing is wrong.\n")
    return message


async def send_email(delivery: Delivery, settings: Settings) -> None:
    """Hand a delivery to the mail server.

    Raises
    ------
    OSError, smtplib.SMTPException
        If the server cannot be reached or does not take it.
    """
    # smtplib blocks; its own time limit ends the thread.
    await asyncio.to_thread(_send, compose(delivery, settings), settings)


def _send(message: EmailMessage, settings: Settings) -> None:
    if settings.smtp_host is None:
        raise OSError("MONITOR_SMTP_HOST is not set: there is no mail server")
    seconds = settings.webhook_timeout.total_seconds()
    trust = ssl.create_default_context()
    with (
        smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=seconds, context=trust)
        if settings.smtp_security == "tls"
        else smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=seconds)
    ) as server:
        if settings.smtp_security == "starttls":
            server.starttls(context=trust)
        if settings.smtp_user is not None and settings.smtp_password is not None:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        server.send_message(message)
