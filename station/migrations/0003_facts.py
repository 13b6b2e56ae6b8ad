"""Stored messages of OCPP 1.6 become facts of no protocol, and the values of an ended session rows of their own."""

import base64
import json
from decimal import Decimal

from django.db import migrations, models

KINDS = {"StartTransaction": "session_began", "MeterValues": "meter_sampled", "StopTransaction": "session_ended"}
ACTIONS = {kind: action for action, kind in KINDS.items()}
REGISTER = "Energy.Active.Import.Register"
UNITS = {
    REGISTER: "Wh",
    "Energy.Active.Import.Interval": "Wh",
    "Power.Active.Import": "W",
    "Power.Offered": "W",
    "Current.Import": "A",
    "Current.Offered": "A",
    "Voltage": "V",
    "Frequency": None,
}
IN_THOUSANDTHS = {"Current.Import", "Current.Offered", "Voltage", "Frequency"}
AT_ONCE = 500
KEY_PREFIX = "oca:base16:asn1:"


# --- OCPP 1.6 to facts


def fact_of(action, payload):
    """Read a payload; what cannot be read (KeyError, TypeError, ValueError) is set aside by the caller."""
    if action == "StartTransaction":
        fact = {
            "connector": payload["connectorId"],
            "id_tag": payload["idTag"],
            "register_wh": payload["meterStart"],
        }
        if "reservationId" in payload:
            fact["reservation"] = payload["reservationId"]
        return fact
    if action == "MeterValues":
        (value,) = payload["meterValue"]
        context, quantities, signed = columns_of(value["sampledValue"])
        fact = {"connector": payload["connectorId"], "context": context, "quantities": quantities}
        return fact | ({"signed": signed} if signed else {})
    if action == "StopTransaction":
        fact = {"register_wh": payload["meterStop"], "reason": payload.get("reason", "Local")}
        return fact | ({"id_tag": payload["idTag"]} if "idTag" in payload else {})
    raise ValueError(action)


def columns_of(sampled):
    """Read a sampledValue list as this station has written it: context, quantities, signed record."""
    context, quantities, signed = "Sample.Periodic", [], None
    for value in sampled:
        context = value.get("context", "Sample.Periodic")
        if value.get("format") == "SignedData":
            signed = signed_of(value["value"])
            continue
        measurand = value.get("measurand", REGISTER)
        if measurand not in UNITS or value.get("unit", UNITS[measurand]) != UNITS[measurand]:
            raise ValueError(measurand)
        scaled = Decimal(value["value"]) * (1000 if measurand in IN_THOUSANDTHS else 1)
        if scaled != int(scaled):
            raise ValueError(value["value"])
        quantity = [measurand, int(scaled)]
        if "phase" in value:
            quantity.append(int(value["phase"][1]))
        quantities.append(quantity)
    return context, quantities, signed


def signed_of(text):
    content = json.loads(text)
    key = base64.b64decode(content["publicKey"]).decode().removeprefix(KEY_PREFIX)
    return {"encoding": content["encodingMethod"], "data": content["signedMeterData"], "public_key": key}


def to_facts(apps, schema_editor):
    samples = apps.get_model("station", "MeterSample")
    messages = apps.get_model("station", "OutboxMessage")
    for portion in portions(samples.objects.order_by("id")):
        for row in portion:
            _, row.quantities, signed = columns_of(row.quantities)
            if signed:
                row.signed = signed
                row.save(update_fields=["signed"])
        # Without "signed": a bulk update would write the JSON value null instead of none.
        samples.objects.bulk_update(portion, ["quantities"])
    for portion in portions(messages.objects.order_by("id")):
        for row in portion:
            convert_message(row, samples)
        messages.objects.bulk_update(portion, ["kind", "fact", "status", "last_error"])


def convert_message(row, samples):
    action, payload = row.kind, row.fact
    row.kind = KINDS.get(action, action[:20])
    try:
        fact = fact_of(action, payload)
        kept = [
            samples(session_id=row.session_id, at=value["timestamp"], context=context, quantities=found, signed=signed)
            for value in payload.get("transactionData", ())
            for context, found, signed in [columns_of(value["sampledValue"])]
        ]
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        # Kept as it is and set aside: nothing that tells of a transaction is ever thrown away.
        row.fact = {"payload": payload}
        if row.status != "delivered":
            row.status, row.last_error = "parked", f"not converted: {error!r}"[:200]
        return
    row.fact = fact
    if row.status != "delivered":
        # In the order of the list: the station tells them in the order of their numbers.
        samples.objects.bulk_create(kept, batch_size=AT_ONCE)


# --- facts to OCPP 1.6


def to_payloads(apps, schema_editor):
    samples = apps.get_model("station", "MeterSample")
    messages = apps.get_model("station", "OutboxMessage")
    for portion in portions(messages.objects.order_by("id")):
        for row in portion:
            if "payload" in row.fact:
                row.fact = row.fact["payload"]
            else:
                row.fact = payload_of(row, samples)
            row.kind = ACTIONS.get(row.kind, row.kind)
        messages.objects.bulk_update(portion, ["kind", "fact"])
    samples.objects.exclude(session__stopped_at=None).delete()
    for portion in portions(samples.objects.order_by("id")):
        for row in portion:
            row.quantities = sampled_of(row.context, row.quantities, row.signed)
        samples.objects.bulk_update(portion, ["quantities"])


def payload_of(row, samples):
    fact, at = row.fact, to_wire(row.at)
    if row.kind == "session_began":
        payload = {
            "connectorId": fact["connector"],
            "idTag": fact["id_tag"],
            "meterStart": fact["register_wh"],
            "timestamp": at,
        }
        return payload | ({"reservationId": fact["reservation"]} if "reservation" in fact else {})
    if row.kind == "meter_sampled":
        sampled = sampled_of(fact["context"], fact["quantities"], fact.get("signed"))
        return {"connectorId": fact["connector"], "meterValue": [{"timestamp": at, "sampledValue": sampled}]}
    payload = {"meterStop": fact["register_wh"], "timestamp": at, "reason": fact["reason"]}
    if "id_tag" in fact:
        payload["idTag"] = fact["id_tag"]
    data = [
        {"timestamp": to_wire(each.at), "sampledValue": sampled_of(each.context, each.quantities, each.signed)}
        for each in samples.objects.filter(session_id=row.session_id).order_by("id")
    ]
    return payload | ({"transactionData": data} if data else {})


def sampled_of(context, quantities, signed):
    sampled = []
    for measurand, value, *phase in quantities:
        each = {
            "value": thousandths(value) if measurand in IN_THOUSANDTHS else str(value),
            "context": context,
            "format": "Raw",
            "measurand": measurand,
        }
        if phase:
            each["phase"] = f"L{phase[0]}-N" if measurand == "Voltage" else f"L{phase[0]}"
        each["location"] = "Outlet"
        if UNITS[measurand]:
            each["unit"] = UNITS[measurand]
        sampled.append(each)
    if signed:
        key = base64.b64encode(f"{KEY_PREFIX}{signed['public_key']}".encode()).decode() if signed["public_key"] else ""
        content = {
            "signedMeterData": signed["data"],
            "signingMethod": "",
            "encodingMethod": signed["encoding"],
            "publicKey": key,
        }
        value = json.dumps(content, separators=(",", ":"))
        sampled.append({"value": value, "context": context, "format": "SignedData", "measurand": REGISTER})
    return sampled


def thousandths(value):
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), 1000)
    digits = f"{rest:03d}".rstrip("0")
    return f"{sign}{whole}.{digits or '0'}"


def to_wire(moment):
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def portions(rows):
    last = 0
    while portion := list(rows.filter(id__gt=last)[:AT_ONCE]):
        last = portion[-1].id
        yield portion


class Migration(migrations.Migration):

    dependencies = [
        ('station', '0002_account'),
    ]

    operations = [
        migrations.RenameField(model_name='outboxmessage', old_name='created_at', new_name='at'),
        migrations.RenameField(model_name='outboxmessage', old_name='action', new_name='kind'),
        migrations.RenameField(model_name='outboxmessage', old_name='payload', new_name='fact'),
        migrations.RenameField(model_name='metersample', old_name='values', new_name='quantities'),
        migrations.AddField(
            model_name='metersample', name='signed', field=models.JSONField(blank=True, null=True),
        ),
        migrations.AlterField(model_name='outboxmessage', name='kind', field=models.CharField(max_length=20)),
        migrations.RunPython(to_facts, to_payloads),
    ]
