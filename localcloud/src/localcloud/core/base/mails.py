"""SNS's e-mail, which ministack drops: who is subscribed is asked first, and what is sent lies in a mailbox.

The mailbox is a Maildir, `mail` in the home, with every mail to whomever. A mail has a link, as on AWS: the first one
to agree, every other to be told no more. Links are not signed: who has one may follow it.
"""

from __future__ import annotations

import json
import mailbox
import uuid
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlencode

from localcloud.core.base.scope import scope

_PROTOCOLS = ("email", "email-json")
_LINKS = ("ConfirmSubscription", "Unsubscribe")
Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Answer]


def followed(method: str, path: str, query: str) -> bool:
    """Whether an unsigned request follows a link of a mail, which changes a subscription."""
    return method == "GET" and path == "/" and parse_qs(query).get("Action", [""])[0] in _LINKS


class Mails:
    """What SNS does with e-mail addresses."""

    def __init__(self, home: Path, endpoint: str) -> None:
        self._folder, self._endpoint = home / "mail", endpoint

    def install(self) -> None:
        """Extend ministack's SNS."""
        from ministack.services import sns

        self._sns = sns
        self._subscribed, self._sent, self._left = sns._subscribe, sns._fanout, sns._unsubscribe
        sns._subscribe, sns._fanout, sns._unsubscribe = self._subscribe, self._fanout, self._unsubscribe
        sns._list_subscriptions = self._listed(sns._list_subscriptions)
        sns._list_subscriptions_by_topic = self._listed(sns._list_subscriptions_by_topic)

    def _subscribe(self, given: dict[str, Any]) -> Answer:
        """An address is subscribed once it agrees; the same again asks again, with other attributes it is refused."""
        sns, protocol, address = self._sns, self._sns._p(given, "Protocol"), self._sns._p(given, "Endpoint")
        if protocol not in _PROTOCOLS:
            return cast(Answer, self._subscribed(given))
        topic, refusal = sns._get_topic(sns._p(given, "TopicArn"), "sns:Subscribe")
        if refusal is not None:
            return cast(Answer, refusal)
        if address.count("@") != 1 or not all(address.split("@")):
            return cast(Answer, sns._error("InvalidParameter", "Invalid parameter: Email address", 400))
        found = _of(topic, protocol, address)
        if found is not None:
            asked = self._attributes(given)
            if any(found["attributes"].get(name) != value for name, value in asked.items()):
                reason = "Subscription already exists with different attributes"
                message = f"Invalid parameter: Attributes Reason: {reason}"
                return cast(Answer, sns._error("InvalidParameter", message, 400))
            if not found["confirmed"]:
                self._ask(found)
        else:
            answer = cast(Answer, self._subscribed(given))
            if answer[0] != 200:
                return answer
            self._ask_all(topic)
            found = _of(topic, protocol, address)
        assert found is not None
        told = found["confirmed"] or sns._p(given, "ReturnSubscriptionArn").lower() == "true"
        arn = found["arn"] if told else "pending confirmation"
        inner = f"<SubscribeResult><SubscriptionArn>{arn}</SubscriptionArn></SubscribeResult>"
        return cast(Answer, sns._xml(200, "SubscribeResponse", inner))

    def _attributes(self, given: dict[str, Any]) -> dict[str, str]:
        found, number = {}, 1
        while name := self._sns._p(given, f"Attributes.entry.{number}.key"):
            found[name] = self._sns._p(given, f"Attributes.entry.{number}.value")
            number += 1
        return found

    def _unsubscribe(self, given: dict[str, Any]) -> Answer:
        """ministack looks in the account of who asks; who follows a link has none."""
        parts = self._sns._p(given, "SubscriptionArn").split(":")
        if len(parts) < 7:
            return cast(Answer, self._left(given))
        with scope(parts[4], parts[3]):
            return cast(Answer, self._left(given))

    def _listed(self, original: Handler) -> Handler:
        """Lists say "PendingConfirmation" for the ARN of who has not agreed yet."""

        def listed(given: dict[str, Any]) -> Answer:
            status, headers, body = original(given)
            for topic in self._sns._topics.values():
                self._ask_all(topic)
                for found in topic["subscriptions"]:
                    if not found.get("confirmed"):
                        arn = f"<SubscriptionArn>{found['arn']}</SubscriptionArn>"
                        body = body.replace(arn.encode(), b"<SubscriptionArn>PendingConfirmation</SubscriptionArn>")
            return status, headers, body

        return listed

    def _fanout(self, topic_arn: str, message_id: str, message: str, subject: str, *more: Any, **named: Any) -> None:
        sns = self._sns
        topic = sns._topic_by_arn_any_scope(topic_arn)
        if topic is not None:
            self._ask_all(topic)
        self._sent(topic_arn, message_id, message, subject, *more, **named)
        given = dict(zip(("message_structure", "message_attributes"), more, strict=False)) | named
        attributes = given.get("message_attributes") or {}
        for found in topic["subscriptions"] if topic is not None else ():
            if found["protocol"] not in _PROTOCOLS or not found["confirmed"]:
                continue
            text = sns._resolve_message_for_protocol(message, given.get("message_structure", ""), found["protocol"])
            if not sns._matches_filter_policy(found, attributes, text):
                continue
            leave = self._link("Unsubscribe", SubscriptionArn=found["arn"])
            if found["protocol"] == "email-json":
                envelope = json.loads(sns._build_envelope(topic_arn, message_id, text, subject, attributes, False))
                text = json.dumps({**envelope, "UnsubscribeURL": leave})
            else:
                text += f"\n\n--\nTo receive no more notifications of this topic, visit:\n{leave}\n"
            self._put(found["endpoint"], subject or "AWS Notification Message", text)

    def _ask_all(self, topic: Mapping[str, Any]) -> None:
        """Ask every address that was not asked: CloudFormation subscribes without `_subscribe`."""
        for found in topic["subscriptions"]:
            if found["protocol"] in _PROTOCOLS and "asked" not in found:
                found.update(asked=True, confirmed=False, token=uuid.uuid4().hex)
                found["attributes"].update(PendingConfirmation="true", ConfirmationWasAuthenticated="false")
                self._sns._refresh_subscription_counts(topic)
                self._ask(found)

    def _ask(self, found: Mapping[str, Any]) -> None:
        link = self._link("ConfirmSubscription", TopicArn=found["topic_arn"], Token=found["token"])
        text = (
            f"You have chosen to subscribe to the topic:\n{found['topic_arn']}\n\n"
            "To confirm this subscription, visit the link below (if this was in error no action is necessary):\n"
            f"{link}\n"
        )
        self._put(found["endpoint"], "AWS Notification - Subscription Confirmation", text)

    def _link(self, action: str, **given: str) -> str:
        return f"{self._endpoint}/?{urlencode({'Action': action, **given})}"

    def _put(self, address: str, subject: str, text: str) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"] = "AWS Notifications <no-reply@sns.amazonaws.com>", address
        mail["Subject"] = " ".join(subject.split())
        mail.set_content(text, cte="8bit")
        mailbox.Maildir(self._folder).add(mail)


def _of(topic: Mapping[str, Any], protocol: str, address: str) -> dict[str, Any] | None:
    same = [one for one in topic["subscriptions"] if (one["protocol"], one["endpoint"]) == (protocol, address)]
    return same[0] if same else None
