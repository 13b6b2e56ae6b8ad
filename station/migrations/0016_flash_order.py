"""The order to write the firmware of a controller, which outlives a restart of the software."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("station", "0015_audit_undo")]

    operations = [
        migrations.AddField(
            model_name="connector", name="flash_ordered_at", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="connector",
            name="flash_firmware_before",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
    ]
