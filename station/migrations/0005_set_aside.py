"""A refused message is set aside and sent again; an answer to any of its ids counts."""

from django.db import migrations, models


def from_parked(apps, schema_editor):
    messages = apps.get_model("station", "OutboxMessage")
    messages.objects.filter(status="parked").update(status="set_aside")
    messages.objects.filter(status__in=("pending", "sent"), attempts__gt=0).update(id_was_sent=True)


def to_parked(apps, schema_editor):
    apps.get_model("station", "OutboxMessage").objects.filter(status="set_aside").update(status="parked")


class Migration(migrations.Migration):

    dependencies = [
        ('station', '0004_record_names'),
    ]

    operations = [
        migrations.AddField(
            model_name='outboxmessage',
            name='former_ids',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.AddField(
            model_name='outboxmessage',
            name='id_was_sent',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='outboxmessage',
            name='refusals',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='outboxmessage',
            name='status',
            field=models.CharField(choices=[('pending', 'Pending'), ('sent', 'Sent'), ('delivered', 'Delivered'), ('set_aside', 'Set Aside')], default='pending', max_length=10),
        ),
        migrations.RunPython(from_parked, to_parked),
    ]
