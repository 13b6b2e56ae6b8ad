"""Moments that can be corrected, registers of interval samples, and columns instead of one JSON for all."""

from django.db import migrations, models


def from_memory(apps, schema_editor):
    sessions = apps.get_model("station", "ChargingSession")
    for state in apps.get_model("station", "BackendState").objects.all():
        state.boot_content = state.memory.get("boot_content", {})
        state.save(update_fields=["boot_content"])
        # The sessions that run were alive in the boot that was written down last.
        sessions.objects.filter(stopped_at=None).update(meter_last_boot_id=state.memory.get("boot_id", ""))


def to_memory(apps, schema_editor):
    last = apps.get_model("station", "ChargingSession").objects.exclude(meter_last_boot_id="").order_by("-id").first()
    for state in apps.get_model("station", "BackendState").objects.all():
        state.memory = {"boot_content": state.boot_content}
        if last is not None:
            state.memory["boot_id"] = last.meter_last_boot_id
        state.save(update_fields=["memory"])


class Migration(migrations.Migration):

    dependencies = [
        ('station', '0006_stop_requested'),
    ]

    operations = [
        migrations.AddField(
            model_name='backendstate',
            name='boot_content',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='chargingsession',
            name='meter_last_boot_id',
            field=models.CharField(blank=True, default='', max_length=36),
        ),
        migrations.AddField(
            model_name='chargingsession',
            name='meter_last_steady_ms',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='chargingsession',
            name='meter_serial',
            field=models.CharField(blank=True, default='', max_length=64),
        ),
        migrations.AddField(
            model_name='chargingsession',
            name='sampled_wh',
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='chargingsession',
            name='started_boot_id',
            field=models.CharField(blank=True, default='', max_length=36),
        ),
        migrations.AddField(
            model_name='chargingsession',
            name='started_steady_ms',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='chargingsession',
            name='stopped_boot_id',
            field=models.CharField(blank=True, default='', max_length=36),
        ),
        migrations.AddField(
            model_name='chargingsession',
            name='stopped_steady_ms',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='connector',
            name='aligned_wh',
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='metersample',
            name='boot_id',
            field=models.CharField(blank=True, default='', max_length=36),
        ),
        migrations.AddField(
            model_name='metersample',
            name='steady_ms',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='outboxmessage',
            name='boot_id',
            field=models.CharField(blank=True, default='', max_length=36),
        ),
        migrations.AddField(
            model_name='outboxmessage',
            name='steady_ms',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.RunPython(from_memory, to_memory),
        migrations.RemoveField(model_name='backendstate', name='memory'),
    ]
