"""What Slack's incoming webhooks take, and whatever speaks their language."""

from monitor.channels.base import Message, encoded, news
from monitor.records import Json
from monitor.store.webhooks import Delivery

HEADER, SECTION = 150, 3000
"""Characters that Slack takes in a header and in a section."""
MARKS = {"pending": "◌", "firing": "●", "acknowledged": "◐", "resolved": "○"}


def slack(delivery: Delivery) -> Message:
    """Blocks: what is wrong, the text, where to look."""
    event = delivery.body
    data = event.get("data", {})
    if "what" not in data:
        return Message(encoded({"text": f"{event['type']} of Leadsman. Nothing is wrong."}))
    mark = MARKS.get(data["state"], "")
    heading = f"{mark} {news(event)} ({data['tier']}): {data['title']}"
    rest = data["text"].partition("\n")[2].rstrip("\n")
    blocks: list[Json] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": _short(heading, HEADER), "emoji": False},
        },
        {"type": "section", "text": {"type": "mrkdwn", "text": _body(rest)}},
    ]
    if data.get("link"):
        told = f"<{escape(data['link'])}|Alert {data['alert']}> · {escape(data['group'])}"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": told}]})
    return Message(encoded({"text": escape(heading), "blocks": blocks}))


def escape(text: str) -> str:
    """The three characters that mean something to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _body(text: str) -> str:
    lines = []
    for line in text.splitlines():
        name, colon, told = line.partition(": ")
        lines.append(f"*{escape(name)}*: {escape(told)}" if colon else escape(line))
    return _short("\n".join(lines), SECTION)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
